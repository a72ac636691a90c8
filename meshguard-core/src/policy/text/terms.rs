//! `where`: the terms of an imported rule.

use super::fields::{At, Fields, Text};
use crate::policy::error::{Fault, PolicyErrorKind as Kind};
use crate::policy::term::{Part, Term};

pub(super) fn terms(when: &Fields<'_>) -> Result<Box<[Term]>, Fault> {
    when.tables("where")?.iter().map(term).collect()
}

fn term(fields: &Fields<'_>) -> Result<Term, Fault> {
    fields.known(&["key", "values", "not_values"])?;
    let key = fields.require("key", fields.text("key")?)?;
    let (values, not_values) = (fields.texts("values")?, fields.texts("not_values")?);
    let list = |list: &Option<At<Vec<Text<'_>>>>| -> Vec<String> {
        list.iter().flat_map(|l| &l.value).map(|text| text.value.to_owned()).collect()
    };
    Term::parse(key.value, &list(&values), &list(&not_values)).map_err(|error| {
        let place = |list: &Option<At<Vec<Text<'_>>>>, at: usize| {
            list.as_ref().and_then(|l| l.value.get(at)).map_or(fields.at, |text| text.at)
        };
        let at = match error.part {
            Part::Key => key.at,
            Part::Value(at) => place(&values, at),
            Part::NotValue(at) => place(&not_values, at),
            Part::Whole => fields.at,
        };
        Fault::new(Kind::BadTerm, at, error.message).hint(error.hint)
    })
}
