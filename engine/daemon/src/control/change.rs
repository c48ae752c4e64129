//! Changes of the configuration: between who asks for one, the ring, and the files.

use groups::cfg;
use session::AskId;
use wire::NodeId;
use wire::trace::Level;

use super::reload::{Outcome, Step};
use super::{Control, leave_limit};
use crate::channel::ToHot;
use crate::log::Field;
use crate::services;

/// Who asked for a reload.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asker {
    /// Somebody who asked in words, and is answered in JSON.
    Words(AskId),
    /// A program that asked administration.
    Service(AskId),
    /// Nobody: another ring has a newer configuration.
    Newer,
}

impl Control {
    /// Somebody asks for a reload.
    pub(super) fn reload(&mut self, asker: Asker) {
        match self.reload.ask(asker) {
            Ok(request) => {
                self.channel.tell_hot(ToHot::Change(request, None));
            }
            Err((asker, outcome)) => {
                self.services.cmap.reload_begins();
                self.services.cmap.reload_ends(outcome.error());
                self.reload_over(asker, &outcome);
            }
        }
    }

    /// What is due for a reload under way.
    pub(super) fn reload_turn(&mut self) {
        if let Some(request) = self.reload.tick() {
            self.channel.tell_hot(ToHot::Change(request, None));
        }
        if let Some((asker, outcome)) = self.reload.give_up() {
            self.reload_over(asker, &outcome);
        }
    }

    /// Tells who asked.
    fn reload_over(&mut self, asker: Asker, outcome: &Outcome) {
        if let Outcome::Refused { node, why } = outcome {
            let fields = [("node", Field::Number((*node).into())), ("why", Field::Text(why))];
            self.log.say(Level::Warn, "reload refused", &fields);
        }
        match asker {
            Asker::Words(ask) => self.acceptor.answer(ask, outcome.json().as_bytes()),
            Asker::Service(ask) => {
                let reply = match outcome {
                    Outcome::Committed { .. } => Ok(::services::Answer::Done),
                    Outcome::Refused { .. } => Err(::services::Failure::FailedOperation),
                };
                services::answer(&mut self.acceptor, ask, &reply);
            }
            Asker::Newer => {}
        }
    }

    /// Another ring has a newer configuration: this node's ring follows if its members' files say the same.
    fn follow(&mut self, node: NodeId, config_version: u64, config_hash: u64) {
        match self.reload.follow(Asker::Newer, config_version, config_hash) {
            None => {}
            Some(Ok(request)) => {
                let fields = [
                    ("config_version", Field::Number(config_version)),
                    ("node", Field::Number(node.0.into())),
                ];
                self.log.say(Level::Info, "following a newer configuration", &fields);
                self.channel.tell_hot(ToHot::Change(request, None));
            }
            Some(Err((asker, outcome))) => self.reload_over(asker, &outcome),
        }
    }

    /// Something happened to a change of the configuration, in the total order.
    pub(super) fn change(&mut self, event: cfg::Event) {
        if let cfg::Event::Killed { by, text } = &event {
            return self.leave(&[("killed_by", Field::Text(by)), ("why", Field::Text(text))]);
        }
        if let cfg::Event::Newer { node, config_version, config_hash } = event {
            return self.follow(node, config_version, config_hash);
        }
        match self.reload.event(event) {
            Step::Nothing => {}
            Step::Answer(request, takeover) => {
                self.services.cmap.reload_begins();
                self.channel.tell_hot(ToHot::Change(request, takeover));
            }
            Step::Changed(asker, outcome) => {
                let running = self.reload.running();
                self.log.set_config(&running.log);
                self.services.set_config(running, self.reload.keys());
                self.leave_limit = leave_limit(running);
                let version = running.config_version;
                let fields = [("config_version", Field::Number(version))];
                self.log.say(Level::Info, "configuration taken over", &fields);
                let access = self.access();
                self.acceptor.set_access(access);
                self.services.cmap.reload_ends(None);
                self.look_due = true;
                asker.into_iter().for_each(|asker| self.reload_over(asker, &outcome));
            }
            Step::Over(asker, outcome) => {
                self.services.cmap.reload_ends(outcome.error());
                asker.into_iter().for_each(|asker| self.reload_over(asker, &outcome));
            }
        }
    }
}
