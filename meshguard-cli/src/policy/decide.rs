//! `meshguard policy decide`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use meshguard_core::policy::Effect;
use meshguard_core::policy::istio::{self, Case, How, Request, Workload};
use serde_json::{Value, json};

use super::import;
use crate::document;
use crate::failure::Failure;
use crate::output::{Format, Verdict};

/// The longest line of a batch, in bytes.
const MAX_LINE: u64 = 16 << 20;

/// Prints `allow` or `deny`. By a batch, one of them for each case, in their order; a case that
/// cannot be read prints `error: …` instead, and the batch goes on. A case of the kind `load`
/// asks whether its documents would be admitted.
#[derive(Debug, Args)]
pub(crate) struct Decide {
    /// Policy documents in YAML or JSON; `-` reads the standard input
    #[arg(required_unless_present = "batch", conflicts_with = "batch")]
    policies: Vec<PathBuf>,
    /// Whose policies they are
    #[arg(long, value_enum, default_value_t = Documents::Istio)]
    format: Documents,
    /// The workload that is called and its mesh, in JSON
    #[arg(long, value_name = "FILE", conflicts_with = "batch")]
    context: Option<PathBuf>,
    /// What is asked for, in JSON
    #[arg(long, value_name = "FILE", conflicts_with = "batch", required_unless_present = "batch")]
    access: Option<PathBuf>,
    /// Cases, one JSON object a line; `-` reads the standard input
    #[arg(long, value_name = "FILE")]
    batch: Option<PathBuf>,
    /// Decide on all that a server may take the access for; in a batch, for all cases and not
    /// only for those that say so
    #[arg(long)]
    hardened: bool,
    /// Decide as a service's own listener does: as with `--hardened`, and no path of two readings,
    /// no second method and no other protocol whatever the document says
    #[arg(long, conflicts_with = "hardened")]
    served: bool,
    /// Decide also where no policy is for the workload: upstream then allows all
    #[arg(long, conflicts_with = "batch")]
    allow_none: bool,
    /// Decide as upstream does, also where a case of a batch asks for the hardened decision
    #[arg(long, conflicts_with_all = ["hardened", "served"])]
    no_hardened: bool,
    /// How decisions are shown; as JSON, one object a line
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output_format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Documents {
    /// Istio's AuthorizationPolicy
    Istio,
}

impl Decide {
    pub(crate) fn run(&self) -> Result<Verdict, Failure> {
        let Documents::Istio = self.format;
        match &self.batch {
            Some(path) if path == Path::new("-") => self.cases(io::stdin().lock()),
            Some(path) => {
                let file = File::open(path).map_err(|error| Failure::file(path, &error))?;
                self.cases(BufReader::new(file))
            }
            None => self.one(),
        }
    }

    /// How a failure is shown. After a batch it goes to the standard error, lest it be taken
    /// for a decision.
    pub(crate) fn format(&self) -> Format {
        if self.batch.is_some() { Format::Text } else { self.output_format }
    }

    /// In which way a case is decided that perhaps asks for the `hardened` one.
    fn how(&self, hardened: bool) -> How {
        match (self.served, self.hardened || hardened && !self.no_hardened) {
            (true, _) => How::Served,
            (false, true) => How::Hardened,
            (false, false) => How::Upstream,
        }
    }

    fn one(&self) -> Result<Verdict, Failure> {
        let context = self.context.as_deref().map_or(Ok(Value::Null), read_json)?;
        let request = self.access.as_deref().map_or(Ok(Value::Null), read_json)?;
        let unreadable = |error: istio::CaseError| Failure::new("case", error.to_string());
        let mut workload = Workload::from_context(&context).map_err(unreadable)?;
        workload.allow_none = self.allow_none;
        let request = Request::read(&request, &context).map_err(unreadable)?;
        let imported = import::Documents::read(&self.policies)?.import(&workload)?;
        let effect = request.decide_as(&imported.policy, self.how(false));
        self.print(&mut io::stdout().lock(), None, Ok(effect))?;
        Ok(Verdict::fine_if(effect == Effect::Allow))
    }

    fn cases(&self, mut from: impl BufRead) -> Result<Verdict, Failure> {
        let unread = |error: io::Error| Failure::new("file", format!("the batch: {error}"));
        let mut out = io::stdout().lock();
        let mut errors = 0_u64;
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = from.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
            if read.map_err(unread)? == 0 {
                break;
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let (id, decision) = match line.len() as u64 == MAX_LINE && !line.ends_with(b"\n") {
                true => {
                    from.skip_until(b'\n').map_err(unread)?;
                    (String::new(), Err(format!("the case has more than {MAX_LINE} bytes")))
                }
                false => self.case(&line),
            };
            errors += u64::from(decision.is_err());
            self.print(&mut out, Some(&id), decision)?;
        }
        if errors == 0 {
            return Ok(Verdict::Fine);
        }
        Err(Failure::new("case", format!("{errors} cases could not be decided")))
    }

    /// The case's name, as far as it can be read, and the decision.
    fn case(&self, line: &[u8]) -> (String, Result<Effect, String>) {
        let json: Value = match serde_json::from_slice(line) {
            Ok(json) => json,
            Err(error) => return (String::new(), Err(error.to_string())),
        };
        let id = json.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let decision = match Case::read(&json) {
            Err(error) => Err(error.to_string()),
            Ok(case) => {
                case.decide_as(self.how(case.hardened)).or_else(|error| {
                    // What upstream would not have admitted lets nothing through.
                    let refused = writeln!(io::stderr(), "{id}: refused: {error}");
                    refused.map(|()| Effect::Deny).map_err(|error| error.to_string())
                })
            }
        };
        (id, decision)
    }

    fn print(
        &self,
        out: &mut impl Write,
        id: Option<&str>,
        decision: Result<Effect, String>,
    ) -> Result<(), Failure> {
        let word = |effect| if effect == Effect::Allow { "allow" } else { "deny" };
        let line = match (self.output_format, decision) {
            (Format::Text, Ok(effect)) => word(effect).to_owned(),
            // A message has no line breaks that a reader could take for decisions.
            (Format::Text, Err(error)) => format!("error: {}", error.replace(['\n', '\r'], " ")),
            (Format::Json, Ok(effect)) => match id {
                Some(id) => json!({ "id": id, "decision": word(effect) }).to_string(),
                None => json!({ "decision": word(effect) }).to_string(),
            },
            (Format::Json, Err(error)) => json!({ "id": id, "error": error }).to_string(),
        };
        writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|e| Failure::output(&e))
    }
}

fn read_json(path: &Path) -> Result<Value, Failure> {
    let text = document::text(path)?;
    serde_json::from_str(&text).map_err(|error| {
        let place = (error.line().max(1), error.column().max(1));
        Failure::new("syntax", format!("not JSON: {error}")).at(path, &text, place)
    })
}
