//! What a transport counts.

::transport::counters! {
    /// Bursts (or lone datagrams) the kernel took.
    bursts_sent,
    /// Datagrams in them.
    datagrams_sent,
    /// Payload bytes in them.
    bytes_sent,
    /// Receptions of one or more datagrams.
    bursts_received,
    /// Datagrams in them.
    datagrams_received,
    /// Payload bytes in them.
    bytes_received,
    /// Receptions on the token's socket.
    tokens_received,
    /// Receptions longer than a slot; the datagrams that fitted whole were kept.
    truncated,
    /// Bursts refused because the send queue was full.
    sends_full,
    /// Bursts refused because they break a limit.
    sends_too_big,
    /// Sends the kernel refused for a reason not counted otherwise; lost.
    sends_failed,
    /// Sends tried again after an earlier datagram's ICMP error had used up the call.
    sends_repeated,
    /// Sends refused because the path's MTU is smaller.
    sends_over_mtu,
    /// Datagrams sent in IP fragments because they were made before the path's MTU fell.
    datagrams_fragmented,
    /// Bursts taken apart because the path does not segment.
    bursts_split,
    /// Reports that a peer is unreachable.
    unreachable,
    /// Peers whose connection was reset and then refused: their process is gone.
    tethers_lost,
    /// Times the path MTU fell.
    mtu_fell,
    /// Times a receive ended because no buffer was left; the socket buffer holds what comes then.
    buffers_exhausted,
    /// Times a receive was started again, for any reason.
    receives_rearmed,
    /// Times a receive ended with an error not counted otherwise.
    receives_failed,
    /// System calls made to submit or to collect.
    enters,
    /// Times the engine slept.
    waits,
}
