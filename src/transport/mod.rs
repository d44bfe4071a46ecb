//! The only folder that names salvo.
