//! Between session server and node: the daemon is where protocol words and driver words meet.

use groups::{Clients, Event, GroupHandle, Pulled, PulledKind};
use node::Input;
use session::view::View;
use session::{Delivery, Member, Messages, Order, Request, Server};
use wire::MemberId;
use wire::run::RunKind;
use wire::trace::{Code, Level, Trace};

/// A [`Server`] as the node's clients.
pub(crate) struct Programs<'s>(pub(crate) &'s mut Server);

impl Clients for Programs<'_> {
    fn pending_bytes(&self) -> u64 {
        self.0.pending_bytes()
    }

    fn room_bytes(&self) -> u64 {
        self.0.room_bytes()
    }

    fn restart(&mut self) {
        self.0.restart_messages();
    }

    fn pull(&mut self, buf: &mut [u8]) -> Option<Pulled> {
        let pulled = self.0.pull(buf)?;
        Some(Pulled {
            session: pulled.session,
            group: GroupHandle(pulled.group),
            kind: if pulled.fragment { PulledKind::Fragment } else { PulledKind::Messages },
            count: pulled.count,
            bytes: pulled.bytes,
            safe: pulled.safe,
        })
    }

    fn deliver(&mut self, messages: groups::Messages) -> Option<groups::Messages> {
        deliver_messages(self.0, messages);
        None
    }
}

/// Gives messages to the programs.
#[inline]
fn deliver_messages(server: &mut Server, messages: groups::Messages) {
    server.deliver(Delivery::Messages(Messages {
        group: messages.group.0,
        sender: member(messages.sender),
        fragment: messages.kind == RunKind::Fragment,
        safe: messages.safe,
        count: messages.count,
        order: Order {
            ring_seq: messages.ring.seq,
            ring_rep: messages.ring.rep.0,
            seq: messages.seq,
            offset: messages.offset,
        },
        body: messages.body,
    }));
}

/// Programs walk the fragments of an item by the session's formats, the ring makes them by its own.
const _: () = assert!(session::layout::FRAGMENT_GAP_BYTES == wire::run::RUN_HEADER_BYTES);

/// What a program's request means to the node, and to the log.
pub(crate) fn input(request: Request) -> (Input, Option<Trace>) {
    match request {
        Request::Open { session, pid, uid, gid } => {
            let args = [session, pid, uid, gid].map(u64::from);
            let trace = Trace::new(Level::Info, Code::SessionOpen, &args);
            (Input::Open { session, pid }, Some(trace))
        }
        Request::Join { session, request, name } => (Input::Join { session, request, name }, None),
        Request::Leave { session, request, group } => {
            (Input::Leave { session, request, group: GroupHandle(group) }, None)
        }
        Request::Closed { session, pid, cause } => {
            let level = match cause {
                session::Cause::Closed | session::Cause::Gone => Level::Info,
                _ => Level::Warn,
            };
            let args = [session.into(), pid.into(), cause as u64];
            (Input::Close { session }, Some(Trace::new(level, Code::SessionClosed, &args)))
        }
    }
}

/// Memory reused from view to view.
#[derive(Default)]
pub(crate) struct Scratch {
    members: Vec<Member>,
    joined: Vec<(Member, u8)>,
    left: Vec<(Member, u8)>,
    nodes: Vec<u32>,
    /// Members of the newest regular configuration.
    ring_nodes: Vec<u32>,
}

/// Tells programs what the group layer says.
pub(crate) fn deliver(server: &mut Server, scratch: &mut Scratch, event: Event) {
    match event {
        Event::Messages(messages) => deliver_messages(server, messages),
        Event::View(view) => deliver_view(server, scratch, &view),
        Event::Joined { session, request, group } => {
            server.deliver(Delivery::Joined { session, request, group: group.0 });
        }
        Event::Refused { session, request, reason } => {
            server.deliver(Delivery::Refused { session, request, reason: reason as u8 });
        }
        Event::NotSent { session, group, count, reason } => {
            let (group, count, reason) = (group.0, count.into(), reason as u8);
            server.deliver(Delivery::NotSent { session, group, count, reason });
        }
        Event::Configuration(configuration) => {
            if configuration.kind == totem::ConfigurationKind::Regular {
                scratch.ring_nodes.clear();
                scratch.ring_nodes.extend(configuration.members.iter().map(|node| node.0));
            }
            scratch.nodes.clear();
            scratch.nodes.extend(configuration.members.iter().map(|node| node.0));
            server.deliver(Delivery::Configuration {
                transitional: configuration.kind == totem::ConfigurationKind::Transitional,
                synced: false,
                order: Order {
                    ring_seq: configuration.ring.seq,
                    ring_rep: configuration.ring.rep.0,
                    seq: 0,
                    offset: 0,
                },
                nodes: &scratch.nodes,
            });
        }
        Event::Synced { ring } => server.deliver(Delivery::Configuration {
            transitional: false,
            synced: true,
            order: Order { ring_seq: ring.seq, ring_rep: ring.rep.0, seq: 0, offset: 0 },
            nodes: &scratch.ring_nodes,
        }),
        // Whoever wants to know asks; what must be kept was taken out before.
        Event::Quorum(_) => {}
    }
}

fn deliver_view(server: &mut Server, scratch: &mut Scratch, view: &groups::View) {
    let Scratch { members, joined, left, .. } = scratch;
    members.clear();
    joined.clear();
    left.clear();
    members.extend(view.members.iter().copied().map(member));
    joined.extend(view.joined.iter().map(|(id, cause)| (member(*id), *cause as u8)));
    left.extend(view.left.iter().map(|(id, cause)| (member(*id), *cause as u8)));
    let order = Order {
        ring_seq: view.ring.seq,
        ring_rep: view.ring.rep.0,
        seq: view.seq,
        offset: view.offset,
    };
    let view_said = View { name: &view.name, members, joined, left };
    server.deliver(Delivery::View { group: view.group.0, order, view: view_said });
}

fn member(id: MemberId) -> Member {
    Member { node: id.node.0, session: id.session, pid: id.pid }
}
