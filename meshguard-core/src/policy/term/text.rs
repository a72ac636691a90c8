//! Values compared as text: `exact`, `prefix*`, `*suffix`, `*`.

/// One value of a term, compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    form: Form,
    /// Whether ASCII case counts for nothing.
    fold: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// Also the empty text.
    Present,
    NotEmpty,
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
}

impl Text {
    /// A leading `*` wins: `*foo=*` is what ends in `foo=*`. `*` alone is what is not empty.
    pub(super) fn new(value: &str) -> Self {
        let form = if value == "*" {
            Form::NotEmpty
        } else if let Some(suffix) = value.strip_prefix('*') {
            Form::Suffix(suffix.into())
        } else if let Some(prefix) = value.strip_suffix('*') {
            Form::Prefix(prefix.into())
        } else {
            Form::Exact(value.into())
        };
        Self { form, fold: false }
    }

    /// As [`new`](Self::new), but `*` alone is whatever is there, even the empty text.
    pub(super) fn present(value: &str) -> Self {
        match value {
            "*" => Self { form: Form::Present, fold: false },
            value => Self::new(value),
        }
    }

    pub(super) fn exact(value: &str) -> Self {
        Self { form: Form::Exact(value.into()), fold: false }
    }

    pub(super) fn prefix(value: &str) -> Self {
        Self { form: Form::Prefix(value.into()), fold: false }
    }

    pub(super) fn suffix(value: &str) -> Self {
        Self { form: Form::Suffix(value.into()), fold: false }
    }

    pub(super) fn not_empty() -> Self {
        Self { form: Form::NotEmpty, fold: false }
    }

    pub(super) fn ignoring_case(mut self) -> Self {
        self.fold = true;
        self
    }

    pub(super) fn matches(&self, value: &[u8]) -> bool {
        let same = |a: &[u8], b: &[u8]| match self.fold {
            true => a.eq_ignore_ascii_case(b),
            false => a == b,
        };
        match &self.form {
            Form::Present => true,
            Form::NotEmpty => !value.is_empty(),
            Form::Exact(text) => same(value, text.as_bytes()),
            Form::Prefix(text) => {
                value.get(..text.len()).is_some_and(|head| same(head, text.as_bytes()))
            }
            Form::Suffix(text) => {
                let start = value.len().checked_sub(text.len());
                start.is_some_and(|start| same(&value[start..], text.as_bytes()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_text_at_one_end_only() {
        for (value, text, want) in [
            ("/allow*", "/allowance", true),
            ("/prefix/*", "/prefix", false),
            ("*/x", "/a/x", true),
            ("*foo=*", "a foo=*", true),
            ("*foo=*", "foo=bar", false),
            ("a*b", "aXb", false),
            ("a*b", "a*b", true),
            ("**", "a*", true),
            ("**", "a", false),
            ("*", "", false),
            ("*", "a", true),
            ("A", "a", false),
        ] {
            assert_eq!(Text::new(value).matches(text.as_bytes()), want, "{value} {text}");
        }
        assert!(Text::present("*").matches(b""));
        assert!(Text::new("A.com*").ignoring_case().matches(b"a.COM:80"));
    }
}
