//! Strict access to a document's fields, each knowing its place.

use serde_json::{Map, Value as Json};

use super::error::{ImportError, ImportErrorKind as Kind};

/// A value, the document it belongs to and the path of its field.
#[derive(Clone)]
pub(super) struct Node<'d> {
    pub(super) json: &'d Json,
    pub(super) document: &'d str,
    pub(super) field: String,
}

impl<'d> Node<'d> {
    pub(super) fn new(json: &'d Json, document: &'d str) -> Self {
        Self { json, document, field: String::new() }
    }

    pub(super) fn fault(&self, kind: Kind, message: impl Into<String>) -> ImportError {
        ImportError::new(kind, self.document, &*self.field, message)
    }

    /// The fields of an object, all of them known; `None` lets any other be.
    pub(super) fn fields(
        &self,
        known: Option<&[&str]>,
    ) -> Result<&'d Map<String, Json>, ImportError> {
        let Json::Object(map) = self.json else { return Err(self.wrong_type("an object")) };
        let Some(known) = known else { return Ok(map) };
        match map.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(map),
            Some(key) => {
                let mut field = self.clone();
                field.push(key);
                let message = format!("unknown field `{}`", key.escape_debug());
                let hint = format!("known here: {}", known.join(", "));
                Err(field.fault(Kind::UnknownField, message).hinted(hint))
            }
        }
    }

    /// A field of an object, if it is there and not null.
    pub(super) fn get(&self, key: &str) -> Option<Self> {
        let json = self.json.get(key).filter(|json| !json.is_null())?;
        let mut node = Self { json, document: self.document, field: self.field.clone() };
        node.push(key);
        Some(node)
    }

    pub(super) fn require(&self, key: &str) -> Result<Self, ImportError> {
        self.get(key).ok_or_else(|| {
            let mut field = self.clone();
            field.push(key);
            field.fault(Kind::MissingField, format!("`{key}` must be set"))
        })
    }

    pub(super) fn list(&self) -> Result<Vec<Self>, ImportError> {
        let Json::Array(list) = self.json else { return Err(self.wrong_type("a list")) };
        let item = |(at, json)| {
            let field = format!("{}[{at}]", self.field);
            Self { json, document: self.document, field }
        };
        Ok(list.iter().enumerate().map(item).collect())
    }

    pub(super) fn text(&self) -> Result<&'d str, ImportError> {
        self.json.as_str().ok_or_else(|| self.wrong_type("a string"))
    }

    fn wrong_type(&self, wanted: &str) -> ImportError {
        let found = match self.json {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::String(_) => "a string",
            Json::Array(_) => "a list",
            Json::Object(_) => "an object",
        };
        self.fault(Kind::WrongType, format!("it is {found}, not {wanted}"))
    }

    fn push(&mut self, key: &str) {
        let shown = key.escape_debug();
        self.field = match (self.field.is_empty(), key.contains(['.', '[', '/'])) {
            (true, _) => shown.to_string(),
            (false, false) => format!("{}.{shown}", self.field),
            (false, true) => format!("{}[{shown}]", self.field),
        };
    }
}
