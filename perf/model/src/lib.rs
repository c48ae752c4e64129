//! Predicts what a cluster does on hardware that is not here: whole nodes in virtual time, with the costs of their
//! work measured on this machine and a network of given speed.
//!
//! The nodes are the real ones (`node::Node`): they decide how many frames go into a burst, who sends when and
//! what is asked for again. What is modelled is time: how long a processor is busy with a burst ([`Costs`]), how
//! long bits are on a wire ([`Network`]), how processors are shared ([`Cores`]). Nothing is lost; that is the
//! simulator's business.
#![forbid(unsafe_code)]

mod clients;
mod costs;
mod machine;
mod measure;
mod network;
mod plan;
mod prediction;
mod world;

pub use costs::Costs;
pub use measure::measure;
pub use network::{Network, Receive};
pub use plan::{Cores, Load, Plan};
pub use prediction::{LatencyUs, Prediction};

/// Runs a plan in virtual time.
///
/// # Errors
/// When the nodes do not form a ring or nothing is delivered within the plan's time: the model does not fit then.
pub fn predict(plan: &Plan) -> anyhow::Result<Prediction> {
    world::World::new(plan)?.run()
}
