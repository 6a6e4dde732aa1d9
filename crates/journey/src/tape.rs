//! A journey that is kept: everything that was collected, to be told again.

use crate::collect::{Collector, Told};
use crate::model::Lost;
use crate::story::About;
use crate::topology::Topology;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    about: About,
    /// As `gather` was asked; none for a client's act.
    gathered: Option<Gathered>,
    epoch: u64,
    lost: Lost,
    #[serde(borrow)]
    tape: std::borrow::Cow<'a, [(u16, Told)]>,
}

/// What makes a kernel host's flows one journey ([`Collector::gather`]).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Gathered {
    /// Local port and server of its connection.
    pub connection: Option<(u16, String)>,
    /// The name that was asked for.
    pub name: String,
}

/// A journey as it was kept.
#[derive(Debug)]
pub struct Journey {
    /// All that was seen.
    pub c: Collector,
    /// What it is about.
    pub about: About,
    /// Nanoseconds of the Unix epoch's clock at the zero of the lab's.
    pub epoch: u64,
}

/// A journey as bytes; `None`: it is too large to be kept.
///
/// # Errors
/// If it cannot be encoded.
pub fn write(c: &Collector, about: &About, gathered: Option<Gathered>, epoch: u64) -> Result<Option<Vec<u8>>> {
    let Some(tape) = c.tape() else { return Ok(None) };
    let kept = Kept { about: about.clone(), gathered, epoch, lost: c.lost, tape: tape.into() };
    postcard::to_stdvec(&kept).map(Some).context("keeping the journey")
}

/// A journey from its bytes, in the lab that it was made in.
///
/// # Errors
/// If the bytes are none.
pub fn read(bytes: &[u8], t: Topology) -> Result<Journey> {
    let kept: Kept<'_> = postcard::from_bytes(bytes).context("the journey that was kept")?;
    let mut c = Collector::new(t);
    for (node, told) in kept.tape.iter() {
        c.take(*node, told.clone());
    }
    let mut about = kept.about;
    if let Some(g) = kept.gathered {
        about.journey = c.gather(about.from, g.connection.as_ref().map(|(p, r)| (*p, r.as_str())), &g.name, about.start);
    }
    // What never came is counted once more by nobody: it was counted then.
    c.lost = kept.lost;
    Ok(Journey { c, about, epoch: kept.epoch })
}
