//! Arithmetic and conversions.

use crate::rule::evaluate::Run;
use crate::rule::node::{Conversion, Node};
use crate::rule::tree::Arithmetic;
use crate::rule::value::{Fault, Val, blocks};

impl<'a> Run<'a> {
    pub(super) fn calculate(
        &mut self,
        arithmetic: Arithmetic,
        [left, right]: &'a [Node; 2],
    ) -> Result<Val<'a>, Fault> {
        let (left, right) = (self.value(left)?, self.value(right)?);
        if let (Val::Int(one), Val::Int(two)) = (&left, &right) {
            return whole(arithmetic, *one, *two);
        }
        if let (Some(one), Some(two)) = (left.double(), right.double()) {
            return Ok(Val::Double(match arithmetic {
                Arithmetic::Add => one + two,
                Arithmetic::Subtract => one - two,
                Arithmetic::Multiply => one * two,
                Arithmetic::Divide => one / two,
                Arithmetic::Remainder => {
                    return Err(Fault::Kind {
                        act: "`%`",
                        found: "a number that is not whole",
                    });
                }
            }));
        }
        if arithmetic == Arithmetic::Add {
            if let (Some(one), Some(two)) = (left.text(), right.text()) {
                self.room_for_text(one.len() + two.len())?;
                return Ok(Val::MadeText([one, two].concat().into()));
            }
            if let (Val::List(_) | Val::MadeList(_), Val::List(_) | Val::MadeList(_)) =
                (&left, &right)
            {
                let (one, two) = (left.length().unwrap_or(0), right.length().unwrap_or(0));
                self.room_for(one + two)?;
                let elements = (0..one)
                    .map(|at| left.element(at))
                    .chain((0..two).map(|at| right.element(at)));
                return Ok(Val::MadeList(elements.collect()));
            }
        }
        let unfit = if left.double().is_some()
            || (left.text().is_some() && arithmetic == Arithmetic::Add)
        {
            &right
        } else {
            &left
        };
        Err(unfit.unfit(arithmetic.sign()))
    }

    pub(super) fn convert(
        &mut self,
        conversion: Conversion,
        operand: &'a Node,
    ) -> Result<Val<'a>, Fault> {
        let value = self.value(operand)?;
        let name = conversion.name();
        self.work(value.text().map_or(0, |text| blocks(text.len())))?;
        match (conversion, value.text()) {
            (Conversion::Size, Some(text)) => Ok(Val::Int(text.chars().count() as i64)),
            (Conversion::Size, None) => value
                .length()
                .map(|length| Val::Int(length as i64))
                .ok_or(value.unfit(name)),
            (Conversion::Text, Some(_)) => Ok(value),
            (Conversion::Text, None) => match &value {
                Val::Bool(value) => self.made(value.to_string()),
                Val::Int(value) => self.made(value.to_string()),
                Val::Double(value) => self.made(value.to_string()),
                _ => Err(value.unfit(name)),
            },
            (Conversion::Int, Some(text)) => text
                .parse()
                .map(Val::Int)
                .map_err(|_| Fault::Unreadable(name)),
            (Conversion::Int, None) => to_whole(&value),
            (Conversion::Double, Some(text)) => text
                .parse()
                .map(Val::Double)
                .map_err(|_| Fault::Unreadable(name)),
            (Conversion::Double, None) => value.double().map(Val::Double).ok_or(value.unfit(name)),
            (Conversion::Bool, Some("1" | "t" | "true" | "TRUE" | "True")) => Ok(Val::Bool(true)),
            (Conversion::Bool, Some("0" | "f" | "false" | "FALSE" | "False")) => {
                Ok(Val::Bool(false))
            }
            (Conversion::Bool, Some(_)) => Err(Fault::Unreadable(name)),
            (Conversion::Bool, None) => match value {
                Val::Bool(_) => Ok(value),
                _ => Err(value.unfit(name)),
            },
            (Conversion::LowerAscii, Some(text)) => self.made(text.to_ascii_lowercase()),
            (Conversion::UpperAscii, Some(text)) => self.made(text.to_ascii_uppercase()),
            (Conversion::LowerAscii | Conversion::UpperAscii, None) => Err(value.unfit(name)),
        }
    }
}

pub(super) fn negate<'a>(value: &Val<'a>) -> Result<Val<'a>, Fault> {
    match value {
        Val::Int(value) => value
            .checked_neg()
            .map(Val::Int)
            .ok_or(Fault::Overflow("-")),
        Val::Double(value) => Ok(Val::Double(-value)),
        _ => Err(value.unfit("-")),
    }
}

fn whole<'a>(arithmetic: Arithmetic, one: i64, two: i64) -> Result<Val<'a>, Fault> {
    let result = match arithmetic {
        Arithmetic::Add => one.checked_add(two),
        Arithmetic::Subtract => one.checked_sub(two),
        Arithmetic::Multiply => one.checked_mul(two),
        Arithmetic::Divide | Arithmetic::Remainder if two == 0 => {
            return Err(Fault::ByZero(arithmetic.sign()));
        }
        Arithmetic::Divide => one.checked_div(two),
        Arithmetic::Remainder => one.checked_rem(two),
    };
    result
        .map(Val::Int)
        .ok_or(Fault::Overflow(arithmetic.sign()))
}

fn to_whole<'a>(value: &Val<'a>) -> Result<Val<'a>, Fault> {
    match value {
        Val::Int(value) => Ok(Val::Int(*value)),
        // Both ends of the range stay out, as in CEL: their doubles stand for numbers beyond it as well.
        Val::Double(double) if *double > i64::MIN as f64 && *double < i64::MAX as f64 => {
            Ok(Val::Int(*double as i64))
        }
        Val::Double(_) => Err(Fault::Overflow("int")),
        _ => Err(value.unfit("int")),
    }
}
