//! The command line; everything else is in the library.

/// Of the program, not of the library: whoever uses that chooses for themselves.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    trunkline::cli::run()
}
