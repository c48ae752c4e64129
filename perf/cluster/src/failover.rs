//! How long the others take to notice that a node is gone: from the fault to the new view at their programs.

use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;

use crate::clock::now_ns;
use crate::{Rate, Rig};

/// Ways to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL of the engine.
    Kill,
    /// The host's cable is pulled (namespaces only).
    Unplug,
    /// SIGTERM: the engine says good-bye.
    Leave,
}

/// Longest wait for the new view.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Makes `victim` go under the present load and returns the nanoseconds until the last survivor's program
/// saw the view without it.
///
/// # Errors
/// When the view does not come.
pub fn measure(rig: &mut Rig, victim: usize, fault: Fault) -> anyhow::Result<u64> {
    let survivors: Vec<usize> = (0..rig.cluster.nodes()).filter(|&node| node != victim).collect();
    rig.participants[victim].set_rate(Rate::Silent);
    let start_ns = now_ns();
    match fault {
        Fault::Kill => rig.cluster.engine(victim)?.kill()?,
        Fault::Unplug => rig.cluster.network()?.unplug(victim)?,
        Fault::Leave => rig.cluster.engine(victim)?.signal(Signal::TERM)?,
    }
    rig.wait_view(&survivors, &survivors, TIMEOUT)?;
    let gone = victim as u32 + 1;
    let mut last_ns = start_ns;
    for &node in &survivors {
        let views = rig.participants[node].views();
        let first = views.iter().find(|view| view.at_ns >= start_ns && !view.nodes.contains(&gone));
        last_ns = last_ns.max(first.context("the view was waited for")?.at_ns);
    }
    Ok(last_ns - start_ns)
}

/// Brings the victim back and waits until everybody sees everybody.
///
/// # Errors
/// When the engine does not come back into the ring.
pub fn restore(rig: &mut Rig, victim: usize, fault: Fault) -> anyhow::Result<()> {
    match fault {
        Fault::Unplug => rig.cluster.network()?.plug(victim)?,
        Fault::Kill => rig.cluster.start(victim)?,
        Fault::Leave => {
            rig.cluster.engine(victim)?.wait(TIMEOUT)?;
            rig.cluster.start(victim)?;
        }
    }
    rig.wait_whole(TIMEOUT)
}
