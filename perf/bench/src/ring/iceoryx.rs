//! iceoryx2's publish-subscribe, one service for each direction.

use std::sync::atomic::{AtomicU32, Ordering};

use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;

use crate::ring::pair::{Link, Message};

/// Messages that a subscriber's queue holds: about as many bytes as our rings.
const QUEUE: usize = 2048;

/// So that services of one process do not collide.
static SERIAL: AtomicU32 = AtomicU32::new(0);

/// One end.
pub(super) struct Iceoryx {
    out: Publisher<ipc::Service, Message, ()>,
    back: Subscriber<ipc::Service, Message, ()>,
    _node: Node<ipc::Service>,
}

impl Iceoryx {
    /// Makes the services; the other end opens them at the place that is returned.
    ///
    /// # Errors
    /// When iceoryx2 cannot.
    pub(super) fn create() -> anyhow::Result<(String, Self)> {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let place = format!("synchrotron-bench/{}/{serial}", std::process::id());
        let link = Self::join(&format!("{place}/to"), &format!("{place}/from"))?;
        Ok((place, link))
    }

    /// Opens what the other process made.
    ///
    /// # Errors
    /// When iceoryx2 cannot.
    pub(super) fn open(place: &str) -> anyhow::Result<Self> {
        Self::join(&format!("{place}/from"), &format!("{place}/to"))
    }

    fn join(out: &str, back: &str) -> anyhow::Result<Self> {
        set_log_level(LogLevel::Fatal);
        let node = NodeBuilder::new()
            .signal_handling_mode(SignalHandlingMode::Disabled)
            .create::<ipc::Service>()?;
        let service = |name: &str| {
            let service = node
                .service_builder(&name.try_into()?)
                .publish_subscribe::<Message>()
                .enable_safe_overflow(false)
                .subscriber_max_buffer_size(QUEUE)
                .max_publishers(1)
                .max_subscribers(1)
                .open_or_create()?;
            anyhow::Ok(service)
        };
        let back = service(back)?.subscriber_builder().buffer_size(QUEUE).create()?;
        let out = service(out)?
            .publisher_builder()
            .backpressure_strategy(BackpressureStrategy::DiscardData)
            .create()?;
        Ok(Self { out, back, _node: node })
    }
}

impl Link for Iceoryx {
    #[inline]
    fn send(&mut self, message: &Message) -> anyhow::Result<bool> {
        // What a full queue refuses reaches nobody, and is sent again.
        Ok(self.out.loan_uninit()?.write_payload(*message).send()? == 1)
    }

    #[inline]
    fn show(&mut self) {}

    #[inline]
    fn receive(&mut self) -> anyhow::Result<Option<Message>> {
        Ok(self.back.receive()?.map(|sample| *sample))
    }

    #[inline]
    fn release(&mut self) {}
}
