//! What is known, as bytes, so that a restart does not forget.

use std::fmt;
use std::net::IpAddr;

use super::baselines::{Baselines, KINDS};
use super::edge::EdgeKey;
use super::model::{Kind, Model, SHARES};
use super::places::Places;
use super::season::{Season, Seasons};
use super::share::Pooled;

const MAGIC: &[u8; 8] = b"mgbase\0\x02";
const HASH: usize = blake3::OUT_LEN;
/// A SPIFFE ID is at most 2,048 bytes, the name of an instance is not longer.
const MAX_TEXT: usize = 2_048;

/// A snapshot was refused whole: nothing of it was taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Shorter than any snapshot, or cut off, or longer than it says.
    Length,
    /// Not a snapshot, or of a version unknown here.
    Version,
    /// Changed since it was written: its checksum (BLAKE3) does not hold.
    Checksum,
    /// The name of an edge is none, or is there twice.
    Edge,
    /// A number that no baseline has.
    Number,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "the snapshot is cut off, or longer than it says",
            Self::Version => "not a snapshot of baselines, or of an unknown version",
            Self::Checksum => "the snapshot was changed since it was written",
            Self::Edge => "the snapshot names an edge that is none, or one twice",
            Self::Number => "the snapshot holds a number that no baseline has",
        })
    }
}

impl std::error::Error for SnapshotError {}

impl Baselines {
    /// All that is known, in a versioned form that ends with its checksum: against accidents, not
    /// against forgers. Open episodes and windows on hold are not part of it: they belong to
    /// incidents, which do not outlive the process; nor are the votes on the present hour; nor callees whose instance's name is
    /// longer than 2,048 bytes.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let (places, kinds, seasons) = self.parts();
        let mut out = Vec::with_capacity(4_096 + places.len() * (size_of::<Model>() + 128));
        out.extend_from_slice(MAGIC);
        seasons.iter().for_each(|season| write_season(&mut out, *season));
        for kind in kinds {
            kind.clone().iter_mut().for_each(|pooled| pooled.each(&mut number(&mut out)));
        }
        let told = || places.by_age().filter(|place| is_short(&place.key));
        out.extend_from_slice(&(told().count() as u32).to_le_bytes());
        for place in told() {
            write_key(&mut out, &place.key);
            write_model(&mut out, *place.model);
        }
        let hash = blake3::hash(&out);
        out.extend_from_slice(hash.as_bytes());
        out
    }

    /// Takes over a snapshot in place of all that is known. Where it has more edges than the
    /// settings have places for, those used last are taken.
    ///
    /// # Errors
    /// [`SnapshotError`] where it is damaged; then nothing changes.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), SnapshotError> {
        let (body, hash) = snapshot.split_last_chunk::<HASH>().ok_or(SnapshotError::Length)?;
        let mut body = Reader(body.strip_prefix(MAGIC).ok_or(SnapshotError::Version)?);
        if *blake3::hash(&snapshot[..snapshot.len() - HASH]).as_bytes() != *hash {
            return Err(SnapshotError::Checksum);
        }
        let mut seasons = Seasons::new(self.settings().max_edges);
        for season in seasons.iter_mut() {
            *season = read_season(&mut body)?;
        }
        let mut kinds: [Kind; KINDS] = [[Pooled::new(); SHARES]; KINDS];
        for pooled in kinds.iter_mut().flatten() {
            body.numbers(|visit| pooled.each(visit))?;
        }
        let mut places = Places::new(self.settings());
        let edges = u32::from_le_bytes(body.take()?) as usize;
        for _ in 0..edges {
            read_place(&mut body, &mut places)?;
        }
        if !body.0.is_empty() {
            return Err(SnapshotError::Length);
        }
        self.replace(places, kinds, seasons);
        Ok(())
    }
}

fn write_season(out: &mut Vec<u8>, mut season: Season) {
    out.extend_from_slice(&season.known_mut().to_le_bytes());
    season.each(&mut number(out));
}

fn read_season(body: &mut Reader<'_>) -> Result<Season, SnapshotError> {
    let mut season = Season::new();
    *season.known_mut() = u64::from_le_bytes(body.take()?);
    body.numbers(|visit| season.each(visit))?;
    Ok(season)
}

fn write_model(out: &mut Vec<u8>, mut model: Model) {
    model.each(&mut number(out));
    model.each_count(&mut |n| out.extend_from_slice(&n.to_le_bytes()));
    out.extend_from_slice(&model.seen_mut().to_le_bytes());
}

fn read_place(body: &mut Reader<'_>, places: &mut Places) -> Result<(), SnapshotError> {
    let key = read_key(body)?;
    if places.find(&key).is_some() {
        return Err(SnapshotError::Edge);
    }
    let (mut model, mut counts) = (Model::new(), Ok(()));
    body.numbers(|visit| model.each(visit))?;
    model.each_count(&mut |n| match body.take() {
        Ok(bytes) => *n = u32::from_le_bytes(bytes),
        Err(error) => counts = Err(error),
    });
    counts?;
    *model.seen_mut() = u64::from_le_bytes(body.take()?);
    if let Some(place) = places.take(&key).and_then(|at| places.get_mut(at)) {
        *place.model = model;
    }
    Ok(())
}

fn number(out: &mut Vec<u8>) -> impl FnMut(&mut f32) {
    |x| out.extend_from_slice(&x.to_le_bytes())
}

fn write_key(out: &mut Vec<u8>, key: &EdgeKey) {
    match key {
        EdgeKey::Caller(id) => write_text(out, b'c', id.as_str()),
        EdgeKey::HopIn(id) => write_text(out, b'i', id.as_str()),
        EdgeKey::HopOut(id) => write_text(out, b'o', id.as_str()),
        EdgeKey::Address(addr) => write_text(out, b'a', &addr.to_string()),
        EdgeKey::Callee { id, instance } => {
            write_text(out, b'e', id.as_str());
            write_text(out, b'n', instance);
        }
    }
}

/// The tag, the length in two bytes, and the text.
fn write_text(out: &mut Vec<u8>, tag: u8, text: &str) {
    out.push(tag);
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Whether its names can be written: an ID always can.
fn is_short(key: &EdgeKey) -> bool {
    !matches!(key, EdgeKey::Callee { instance, .. } if instance.len() > MAX_TEXT)
}

fn read_key(body: &mut Reader<'_>) -> Result<EdgeKey, SnapshotError> {
    let (tag, text) = body.text()?;
    let id = || text.parse().map_err(|_| SnapshotError::Edge);
    Ok(match tag {
        b'c' => EdgeKey::Caller(id()?),
        b'i' => EdgeKey::HopIn(id()?),
        b'o' => EdgeKey::HopOut(id()?),
        b'a' => EdgeKey::Address(text.parse::<IpAddr>().map_err(|_| SnapshotError::Edge)?),
        b'e' => match body.text()? {
            (b'n', instance) => EdgeKey::Callee { id: id()?, instance: instance.into() },
            _ => return Err(SnapshotError::Edge),
        },
        _ => return Err(SnapshotError::Edge),
    })
}

/// What is left to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let (first, rest) = self.0.split_first_chunk().ok_or(SnapshotError::Length)?;
        self.0 = rest;
        Ok(*first)
    }

    fn text(&mut self) -> Result<(u8, &'a str), SnapshotError> {
        let [tag] = self.take()?;
        let length = usize::from(u16::from_le_bytes(self.take()?));
        if length > MAX_TEXT {
            return Err(SnapshotError::Edge);
        }
        let (text, rest) = self.0.split_at_checked(length).ok_or(SnapshotError::Length)?;
        self.0 = rest;
        Ok((tag, std::str::from_utf8(text).map_err(|_| SnapshotError::Edge)?))
    }

    /// Reads all numbers that `each` visits.
    fn numbers(
        &mut self,
        each: impl FnOnce(&mut dyn FnMut(&mut f32)),
    ) -> Result<(), SnapshotError> {
        let mut result = Ok(());
        each(&mut |x| match self.take().map(f32::from_le_bytes) {
            Ok(read) if read.is_finite() => *x = read,
            Ok(_) => result = Err(SnapshotError::Number),
            Err(error) => result = Err(error),
        });
        result
    }
}
