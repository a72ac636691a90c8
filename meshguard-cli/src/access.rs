//! An access, as a command's arguments.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use meshguard_core::policy::table;
use meshguard_core::{Evidence, OwnedAccess, Policy, SpiffeId};
use serde_json::Value;

use crate::document;
use crate::failure::Failure;

/// What is asked, and what is known of it. What is left out is not known.
#[derive(Debug, Args)]
pub(crate) struct AccessArgs {
    /// What is asked: `GET /orders/7`, with a query or without, `grpc shop.v1.Orders/Get` or `tcp`
    #[arg(required_unless_present = "access", conflicts_with = "access")]
    operation: Vec<String>,
    /// A file that has the access, in the form of a test's case: TOML or JSON; `-` reads the
    /// standard input
    #[arg(long, value_name = "FILE")]
    access: Option<PathBuf>,
    /// The end-to-end caller: a SPIFFE ID, or a peer's name that stands for one
    #[arg(long, value_name = "PEER")]
    from: Option<String>,
    /// The hop that carries the call
    #[arg(long, value_name = "PEER", conflicts_with = "direct")]
    via: Option<String>,
    /// The workload that is called
    #[arg(long, value_name = "PEER")]
    to: Option<String>,
    /// The caller itself holds the other end of the connection
    #[arg(long)]
    direct: bool,
    /// How complete the delivery is proved to be
    #[arg(long, value_enum)]
    evidence: Option<Proved>,
    /// How far the caller is trusted, 0 to 1
    #[arg(long)]
    trust: Option<f32>,
    /// A header that the caller's proof covers; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    headers: Vec<(String, String)>,
    /// A claim of the verified token, its value in JSON or a text; may be repeated
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = pair)]
    claims: Vec<(String, String)>,
    /// What binds the token to its caller; may be repeated
    #[arg(long = "proof", value_enum)]
    proofs: Vec<Bound>,
    /// The address of the connection's other end
    #[arg(long, value_name = "IP")]
    source: Option<IpAddr>,
    /// The address of the first client
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,
    /// The address that was connected to
    #[arg(long, value_name = "IP")]
    destination: Option<IpAddr>,
    /// The target's scheme
    #[arg(long)]
    scheme: Option<String>,
    /// The host that is asked for
    #[arg(long)]
    host: Option<String>,
    /// The port that was connected to
    #[arg(long)]
    port: Option<u16>,
    /// The server name that the TLS handshake asked for
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Proved {
    None,
    Length,
    Digest,
    Verified,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Bound {
    Dpop,
    Certificate,
}

impl AccessArgs {
    /// The access that the arguments name.
    pub(crate) fn read(&self, policy: &Policy) -> Result<OwnedAccess, Failure> {
        let mut access = match &self.access {
            Some(path) => {
                let text = document::text(path)?;
                table::access(&text, policy).map_err(|error| Failure::table(path, &text, &error))?
            }
            None => self.operation()?,
        };
        let id = |flag, name: &Option<String>, access: &mut Option<SpiffeId>| {
            let Some(name) = name else { return Ok(()) };
            let id = table::peer(name, policy).map_err(|message| Failure::new(flag, message))?;
            *access = Some(id);
            Ok(())
        };
        id("from", &self.from, &mut access.from)?;
        id("via", &self.via, &mut access.via)?;
        id("to", &self.to, &mut access.to)?;
        access.direct |= self.direct;
        self.token(&mut access);
        self.rest(&mut access)?;
        Ok(access.read_as_sent())
    }

    fn operation(&self) -> Result<OwnedAccess, Failure> {
        let words: Vec<&str> = self.operation.iter().flat_map(|word| word.split(' ')).collect();
        match words[..] {
            ["tcp"] => Ok(OwnedAccess::tcp()),
            ["grpc", method] => OwnedAccess::call(method)
                .map_err(|error| Failure::new("operation", error.to_string())),
            [method, _] if is_written_small(method) => Err(Failure::new(
                "operation",
                format!(
                    "`{method}` is not the method `{}`: methods are case-sensitive",
                    method.to_ascii_uppercase()
                ),
            )
            .hint(format!("write `{}`", method.to_ascii_uppercase()))),
            [method, target] => Ok(OwnedAccess::request(method, target)),
            _ => Err(Failure::new("operation", "what is asked is a method and a path")
                .hint("write `GET /orders/7`, `grpc shop.v1.Orders/Get` or `tcp`")),
        }
    }

    fn token(&self, access: &mut OwnedAccess) {
        for (name, value) in &self.claims {
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value.clone()));
            let claims = access.claims.get_or_insert_with(|| Value::Object(serde_json::Map::new()));
            if let Value::Object(claims) = claims {
                claims.insert(name.clone(), value);
            }
        }
        for proof in &self.proofs {
            match proof {
                Bound::Dpop => access.proofs.dpop = true,
                Bound::Certificate => access.proofs.certificate = true,
            }
        }
    }

    fn rest(&self, access: &mut OwnedAccess) -> Result<(), Failure> {
        if self.trust.is_some_and(|trust| !(0.0..=1.0).contains(&trust)) {
            return Err(Failure::new("trust", "trust is from 0 to 1"));
        }
        if let Some(proved) = self.evidence {
            access.evidence = proved.into();
        }
        access.trust = self.trust.or(access.trust);
        access.headers.extend(self.headers.iter().cloned());
        access.source = self.source.or(access.source);
        access.client = self.client.or(access.client);
        access.destination = self.destination.or(access.destination);
        access.port = self.port.or(access.port);
        access.scheme = self.scheme.clone().or(access.scheme.take());
        access.host = self.host.clone().or(access.host.take());
        access.server_name = self.server_name.clone().or(access.server_name.take());
        Ok(())
    }
}

impl From<Proved> for Evidence {
    fn from(proved: Proved) -> Self {
        match proved {
            Proved::None => Self::None,
            Proved::Length => Self::Length,
            Proved::Digest => Self::Digest,
            Proved::Verified => Self::Verified,
        }
    }
}

/// A standard method (RFC 9110 §9) in another case.
fn is_written_small(method: &str) -> bool {
    let standard = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];
    let same = |known: &&str| known.eq_ignore_ascii_case(method);
    standard.iter().any(same) && !standard.contains(&method)
}

/// `name=value`.
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
