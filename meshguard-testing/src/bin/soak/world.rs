//! Both sides: callees, hops before them, and the ways of their caller.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshguard_axum::Mesh;
use meshguard_testing::{DevCa, FaultHop, SvidFiles, svid_files};
use tokio::time::sleep;

use crate::app::router;
use crate::callees::{How, Restarting, mesh};
use crate::error::SoakError;
use crate::evidence::{Evidence, Restart};
use crate::journal::Journal;
use crate::policy::{CALLER, DOMAIN, HOP, Variant, Version, policy};
use crate::shape::{Callee, Lane, Side};
use crate::stock::{self, Identity, Server};
use crate::told::Told;
use crate::wire::{Wire, channel};

/// How long the caller's last exchanges may take to end.
const SETTLE: Duration = Duration::from_secs(10);

/// All that runs.
pub(crate) struct World {
    ca: DevCa,
    journal: Arc<Journal>,
    caller: Mesh,
    caller_files: SvidFiles,
    told: Told,
    mesh: [Restarting; 2],
    stock: [Server; 2],
    /// Before the callees of the mesh, then before those of stock.
    hops: [[FaultHop; 2]; 2],
    version: Version,
}

impl World {
    pub(crate) async fn new(journal: &Arc<Journal>, renewal: bool) -> Result<Self, SoakError> {
        let ca = DevCa::new(DOMAIN)?;
        let (told, caller_files) = (Told::new("caller"), svid_files(&ca, &CALLER)?);
        let version = Version { number: 1, variant: Variant::Plain };
        let caller = mesh(&caller_files, version, &told)?;
        let app = router(Side::Mesh, journal);
        let instance = |callee| Restarting::new(callee, &ca, version, app.clone(), renewal);
        let mesh = [instance(Callee::Mac).await?, instance(Callee::Seal).await?];
        let server = async |callee: Callee| {
            let identity = Identity::new(&ca, &ca.svid(&callee.id())?)?;
            Server::new(&identity, router(Side::Stock, journal)).await
        };
        let stock = [server(Callee::Mac).await?, server(Callee::Seal).await?];
        let hops = [
            hops(&ca, mesh.each_ref().map(Restarting::addr)).await?,
            hops(&ca, stock.each_ref().map(Server::addr)).await?,
        ];
        let journal = Arc::clone(journal);
        Ok(Self { ca, journal, caller, caller_files, told, mesh, stock, hops, version })
    }

    /// A way for each lane.
    pub(crate) fn lanes(&self) -> Result<Vec<(Lane, Wire)>, SoakError> {
        let identity = Identity::new(&self.ca, &self.ca.svid(&CALLER)?)?;
        let lanes = Lane::all(Side::Mesh).chain(Lane::all(Side::Stock));
        lanes.map(|lane| Ok((lane, self.wire(lane, &identity)?))).collect()
    }

    fn wire(&self, lane: Lane, identity: &Identity) -> Result<Wire, SoakError> {
        let callee = lane.callee as usize;
        let hop = self.hops[lane.side as usize][callee].addr();
        match lane.side {
            Side::Mesh => {
                let to = if lane.via { hop } else { self.mesh[callee].addr() };
                let direct = self.caller.channel(&format!("https://{to}"), lane.callee.id())?;
                let way = if lane.via { direct.via(HOP) } else { direct };
                Ok(channel(way, lane.http))
            }
            Side::Stock => {
                let to = if lane.via { hop } else { self.stock[callee].addr() };
                stock::wire(identity, to, lane.http)
            }
        }
    }

    /// A callee restarts, on both sides at once.
    pub(crate) async fn restart(&mut self, callee: Callee, how: How) -> Result<(), SoakError> {
        let at = callee as usize;
        let (mesh, stock, journal) = (&mut self.mesh[at], &mut self.stock[at], &self.journal);
        let from = Instant::now();
        let done = |side| {
            journal.restarted(Restart { side, callee, from, to: Instant::now(), gone: None });
        };
        let (gone, ()) = tokio::try_join!(
            async { mesh.restart(how).await.inspect(|_| done(Side::Mesh)) },
            async { stock.restart(how).await.map(|()| done(Side::Stock)) },
        )?;
        let journal = Arc::clone(journal);
        tokio::spawn(async move {
            if gone.await.is_ok() {
                journal.gone(Side::Mesh, callee, from);
            }
        });
        Ok(())
    }

    /// All meshes read another version of the policy.
    pub(crate) fn change(&mut self, variant: Variant) -> Result<(), SoakError> {
        self.version = Version { number: self.version.number + 1, variant };
        self.caller.set_policy(policy(self.version)?);
        self.mesh.iter_mut().try_for_each(|callee| callee.change(self.version))
    }

    /// All meshes get other certificates and keys.
    pub(crate) fn rotate(&self) -> Result<(), SoakError> {
        self.caller_files.rotate(&self.ca.svid(&CALLER)?)?;
        self.caller.reload()?;
        self.mesh.iter().try_for_each(|callee| callee.rotate(&self.ca))
    }

    /// Ends all of it, and gives what it has shown.
    pub(crate) async fn finish(self) -> Evidence {
        let until = Instant::now() + SETTLE;
        while self.caller.counts().open > 0 && Instant::now() < until {
            sleep(Duration::from_millis(10)).await;
        }
        let mut evidence = self.journal.evidence();
        for callee in self.mesh {
            callee.finish().await.testify(&mut evidence);
        }
        self.told.close(&self.caller);
        self.told.testify(&mut evidence);
        evidence
    }
}

async fn hops(ca: &DevCa, to: [SocketAddr; 2]) -> Result<[FaultHop; 2], SoakError> {
    let [mac, seal] = to;
    let mac = FaultHop::builder(mac).tls(ca, &HOP)?.start().await?;
    Ok([mac, FaultHop::builder(seal).tls(ca, &HOP)?.start().await?])
}
