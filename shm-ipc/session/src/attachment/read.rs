//! Reading items: from the private ring, or from the delivery ring and the region, as the engine directs.

use ring::broadcast::{Lease, Return};
use zerocopy::FromBytes;

use super::{Attachment, Reading, Source};
use crate::descriptor::{DESCRIPTOR_BYTES, Descriptor, Kind};
use crate::hello::Cause;

/// Descriptors leased at a time.
const LEASE: u64 = 16;

/// Bytes of the next body that are asked for ahead: then the processor sees by itself that one line follows the
/// other.
const AHEAD_BYTES: usize = 512;

/// Looks at empty rings between two looks at the socket, for those who never wait.
const LOOKS_PER_SOCKET: u32 = 4096;

/// One thing the engine has delivered. The body lies in shared memory and stays until the next call.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// What it is.
    pub descriptor: Descriptor,
    /// What comes with it.
    pub body: &'a [u8],
}

/// Where an item was found.
enum Found {
    Nothing,
    Private(Descriptor, ring::spsc::Record),
    Delivery(Descriptor, u64),
}

impl Attachment {
    /// The next item, without waiting. `None`: nothing now.
    ///
    /// # Errors
    /// The cause, once the session is over and everything that was delivered before has been read.
    pub fn next_item(&mut self) -> Result<Option<Item<'_>>, Cause> {
        self.give_back();
        let found = self.find()?;
        self.reading = match found {
            Found::Nothing => return Ok(None),
            Found::Private(descriptor, record) => Some((descriptor, Reading::Private(record))),
            Found::Delivery(descriptor, index) => Some((descriptor, Reading::Delivery(index))),
        };
        Ok(self.item())
    }

    /// Goes on to the next item if that is a run of messages that lies in the delivery ring: what most items are, at
    /// a third of the price. `None`: whatever is next comes from [`Attachment::next_item`]. What was given last is
    /// given back in any case.
    #[inline]
    pub fn next_run(&mut self) -> Option<Descriptor> {
        self.give_back();
        if self.source == Source::Delivery && self.lease.is_empty() {
            self.take_lease();
        }
        if self.source != Source::Delivery || self.lease.is_empty() {
            return None;
        }
        let index = self.lease.start;
        let descriptor: Descriptor = zerocopy::transmute!(self.reader.as_ref()?.read(index)?);
        if descriptor.kind != Kind::Messages as u8 {
            return None;
        }
        self.lease.start += 1;
        self.next = index + 1;
        self.idle_looks = 0;
        self.reading = Some((descriptor, Reading::Delivery(index)));
        self.prefetch_next();
        Some(descriptor)
    }

    /// Asks for the beginning of the next body, which lies in some other cache, while this one is read.
    #[inline]
    fn prefetch_next(&self) {
        if let (Some(reader), Some(region)) = (&self.reader, &self.region)
            && !self.lease.is_empty()
            && let Some(words) = reader.read(self.lease.start)
        {
            let next: Descriptor = zerocopy::transmute!(words);
            let bytes = (next.body_bytes.get() as usize).min(AHEAD_BYTES);
            region.prefetch(next.body_offset.get() as usize, bytes);
        }
    }

    /// The item that [`Attachment::next_item`] gave last, again.
    pub fn item(&self) -> Option<Item<'_>> {
        let (descriptor, _) = self.reading.as_ref()?;
        Some(Item { descriptor: *descriptor, body: self.item_body() })
    }

    /// The body of the item that [`Attachment::next_item`] gave last; nothing if there is none.
    #[inline]
    pub fn item_body(&self) -> &[u8] {
        let Some((descriptor, reading)) = &self.reading else { return &[] };
        match reading {
            Reading::Private(record) => {
                // SAFETY: the engine alone writes this ring (it is mapped read-only here and
                // sealed) and, being its producer, keeps its rules; the record is given back only
                // in `give_back`, which needs `&mut self` and so comes after the borrow of the item
                // has ended.
                let record = unsafe { self.private.payload(record) };
                &record[DESCRIPTOR_BYTES..]
            }
            Reading::Delivery(_) => self.body(descriptor).unwrap_or_default(),
        }
    }

    /// Whether [`Attachment::next_item`] would find something or the session is over.
    pub fn has_next(&mut self) -> bool {
        self.give_back();
        if self.ended.is_some() {
            return true;
        }
        match self.source {
            // Items that turn out to have been read already are no harm: one more look.
            Source::Private => !matches!(self.private.peek(), Ok(None)),
            Source::Delivery => {
                if self.lease.is_empty() {
                    self.take_lease();
                }
                !self.lease.is_empty() || self.source == Source::Private || self.ended.is_some()
            }
        }
    }

    /// Gives back what the last item occupied.
    pub(super) fn give_back(&mut self) {
        match self.reading.take() {
            Some((_, Reading::Private(record))) => {
                self.private.consume(&record);
                self.private.release();
                self.drained = true;
            }
            Some((_, Reading::Delivery(index))) => {
                if let Some(reader) = &mut self.reader {
                    reader.release(index + 1);
                }
            }
            None => {}
        }
    }

    fn find(&mut self) -> Result<Found, Cause> {
        loop {
            let found = match self.source {
                Source::Private => self.find_private()?,
                Source::Delivery => self.find_delivery(),
            };
            match found {
                Some(Found::Nothing) => return self.nothing(),
                Some(found) => {
                    self.idle_looks = 0;
                    return Ok(found);
                }
                // It went on to somewhere else, or past something read already.
                None => {}
            }
        }
    }

    /// Nothing there: perhaps because there will never be anything again.
    fn nothing(&mut self) -> Result<Found, Cause> {
        self.idle_looks += 1;
        if std::mem::take(&mut self.drained) {
            // What waits for us behind the private ring can come now; a sleeping engine should know.
            self.engine.ring();
        }
        if self.ended.is_none() && self.idle_looks >= LOOKS_PER_SOCKET {
            self.idle_looks = 0;
            self.look_at_socket();
        }
        self.ended.map_or(Ok(Found::Nothing), Err)
    }

    /// Reads the socket for the reason of the end, if it has come.
    pub(super) fn look_at_socket(&mut self) {
        if self.ended.is_none() {
            self.ended = self.control.farewell();
        }
    }

    fn find_private(&mut self) -> Result<Option<Found>, Cause> {
        let record = self.private.peek().map_err(|_| Cause::Protocol)?;
        let Some(record) = record else { return Ok(Some(Found::Nothing)) };
        let mut bytes = [0; DESCRIPTOR_BYTES];
        if record.len() < DESCRIPTOR_BYTES {
            return Err(*self.ended.get_or_insert(Cause::Protocol));
        }
        self.private.copy_payload(&record, 0, &mut bytes);
        let descriptor = Descriptor::read_from_bytes(&bytes).map_err(|_| Cause::Protocol)?;
        // Copied from the delivery ring, where we may have read it already: its position plus one.
        let mark = descriptor.body_offset.get();
        let read_already = mark != 0 && mark <= self.next;
        self.next = self.next.max(mark);
        match descriptor.kind() {
            Some(Kind::Resume) => self
                .resume(Return { index: descriptor.seq.get(), epoch: descriptor.ring_seq.get() }),
            Some(Kind::Evicted) => {
                let cause = Cause::from_code(descriptor.count.get()).unwrap_or(Cause::Protocol);
                self.ended = Some(cause);
            }
            Some(_) if !read_already => return Ok(Some(Found::Private(descriptor, record))),
            // Of a kind that this version does not know: not for us.
            Some(_) | None => {}
        }
        self.private.consume(&record);
        self.private.release();
        Ok(None)
    }

    /// The engine sends us to the delivery ring.
    fn resume(&mut self, back: Return) {
        let Some((memory, cursor)) = &self.delivery else { return };
        let new = || ring::broadcast::Reader::new(memory, cursor);
        let reader = self.reader.get_or_insert_with(new);
        reader.resume(back);
        self.lease = back.index..back.index;
        self.next = back.index;
        self.source = Source::Delivery;
    }

    fn find_delivery(&mut self) -> Option<Found> {
        if self.lease.is_empty() {
            self.take_lease();
        }
        let index = self.lease.start;
        if self.lease.is_empty() {
            // Gone over to the private ring: look there at once.
            return (self.source == Source::Delivery).then_some(Found::Nothing);
        }
        let reader = self.reader.as_mut()?;
        let Some(words) = reader.read(index) else {
            // The ring went on without us: this item and the rest come by the private ring.
            reader.release(self.lease.end);
            self.lease = 0..0;
            self.next = index;
            return None;
        };
        self.lease.start += 1;
        self.next = index + 1;
        let descriptor: Descriptor = zerocopy::transmute!(words);
        let known = descriptor.kind().is_some();
        if known && (!descriptor.is_addressed() || descriptor.session.get() == self.session()) {
            return Some(Found::Delivery(descriptor, index));
        }
        if let Some(reader) = self.reader.as_mut() {
            reader.release(index + 1);
        }
        None
    }

    fn take_lease(&mut self) {
        let Some(reader) = self.reader.as_mut() else {
            self.source = Source::Private;
            return;
        };
        match reader.lease(LEASE) {
            Lease::Range(range) => self.lease = range,
            Lease::Empty | Lease::Held => {}
            Lease::Moved { .. } => self.source = Source::Private,
            Lease::Evicted(reason) => {
                let cause = u16::try_from(reason).ok().and_then(Cause::from_code);
                self.ended = Some(cause.unwrap_or(Cause::Protocol));
            }
        }
    }

    /// The body of an item of the delivery ring.
    #[inline]
    fn body(&self, descriptor: &Descriptor) -> Option<&[u8]> {
        let (offset, len) =
            (descriptor.body_offset.get() as usize, descriptor.body_bytes.get() as usize);
        if len == 0 {
            return Some(&[]);
        }
        let region = self.region.as_ref()?;
        if offset.checked_add(len)? > region.len() {
            return None;
        }
        // SAFETY: the range lies in the mapping. The engine does not write to a slot while a reader
        // that keeps the rules holds a lease on a descriptor that names it, and we release ours
        // only in `give_back`, after the borrow of the item has ended. (An engine that evicts us
        // uses the slots again after a time of grace; we were told by then. Bytes may change under
        // a program that ignores that: u8s, never invalid.)
        Some(unsafe { std::slice::from_raw_parts(region.base().as_ptr().add(offset), len) })
    }
}
