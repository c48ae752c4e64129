//! One line per event, on request.

use wire::NodeId;
use wire::trace::Trace;

use crate::history::{LifeId, What};

/// Writes lines to standard output, or nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tracer {
    on: bool,
}

impl Tracer {
    /// One that writes if `on`.
    pub fn new(on: bool) -> Self {
        Self { on }
    }

    /// Whether it writes.
    pub fn is_on(self) -> bool {
        self.on
    }

    /// Writes a line.
    pub fn line(self, at_ns: u64, text: impl FnOnce() -> String) {
        if self.on {
            println!("{:>12.6} ms {}", at_ns as f64 / 1e6, text());
        }
    }

    /// What clients were told or asked.
    pub fn entry(self, at_ns: u64, life: LifeId, node: NodeId, what: &What) {
        self.line(at_ns, || {
            let text = match what {
                What::Delivered(d) => {
                    let safe = if d.safe { " safe" } else { "" };
                    format!("deliver {} m{} g{}{safe}", d.at, d.message.0, d.group.0)
                }
                What::Sent(message) => format!("sent m{}", message.0),
                What::View(v) => {
                    let members: Vec<_> = v.members.iter().map(|m| (m.node.0, m.session)).collect();
                    format!(
                        "view g{} at {}:{} members {members:?} +{:?} -{:?}",
                        v.group.0, v.ring, v.seq, v.joined, v.left
                    )
                }
                other => format!("{other:?}"),
            };
            format!("n{node} l{} {text}", life.0)
        });
    }

    /// What a node says of itself.
    pub fn trace(self, at_ns: u64, node: NodeId, trace: &Trace) {
        self.line(at_ns, || {
            let args: Vec<String> = trace
                .code
                .arg_names()
                .iter()
                .zip(trace.args)
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            format!("n{node} # {} {}", trace.code.text(), args.join(" "))
        });
    }
}
