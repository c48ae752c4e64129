//! A well-behaved program beside hostile ones.
#![allow(dead_code)] // each test file uses its own part of it

use std::time::Duration;

use client::{Client, Event, Group, Options};

use crate::engine::Engine;

const LONG: Option<Duration> = Some(Duration::from_secs(10));

/// A program that sends numbers to a group and must get them all back.
pub(crate) struct Witness {
    pub(crate) client: Client,
    group: Group,
    next: u64,
}

impl Witness {
    pub(crate) fn join(engine: &Engine, name: &[u8]) -> Self {
        let mut client = Client::connect(engine.path(), Options::default()).unwrap();
        let group = client.join(name).unwrap();
        let mut witness = Self { client, group, next: 0 };
        assert!(matches!(witness.client.recv(LONG), Some(Event::View(_))));
        witness
    }

    /// Its next `count` messages come back, in order, and nothing else comes.
    pub(crate) fn hears_only_itself(&mut self, count: u64) {
        assert_eq!(self.sends_and_hears(count), 0, "of others");
    }

    /// Its next `count` messages come back, in order, whatever others send and however they come and go.
    pub(crate) fn hears_itself(&mut self, count: u64) {
        self.sends_and_hears(count);
    }

    /// Sends and gets that many; returns how many views and messages of others came in between.
    fn sends_and_hears(&mut self, count: u64) -> u64 {
        let me = self.client.me();
        let end = self.next + count;
        for i in self.next..end {
            self.client.publish(&self.group, &i.to_le_bytes()).unwrap();
        }
        let mut of_others = 0;
        while self.next < end {
            match self.client.recv(LONG) {
                Some(Event::Message(m)) if m.sender == me => {
                    assert_eq!(m.bytes, self.next.to_le_bytes());
                    self.next += 1;
                }
                Some(Event::Message(_) | Event::View(_)) => of_others += 1,
                other => panic!("{other:?}"),
            }
        }
        of_others
    }
}
