//! What a transport counts.

::transport::counters! {
    /// Bursts taken for sending.
    bursts_sent,
    /// Datagrams in them; one for each receiver where the card does not multiply them.
    datagrams_sent,
    /// Payload bytes in them, counted likewise.
    bytes_sent,
    /// Bursts (or lone datagrams) received.
    bursts_received,
    /// Datagrams in them.
    datagrams_received,
    /// Payload bytes in them.
    bytes_received,
    /// Bursts received on the token's queue pairs.
    tokens_received,
    /// Work requests posted for sending.
    send_requests,
    /// Of these, how many the processor wrote into the request itself: the only copies made here.
    send_copies_inline,
    /// Calls that posted them (each rings the card's doorbell once).
    send_doorbells,
    /// Completions of sends.
    send_completions,
    /// Work requests posted for receiving.
    receive_requests,
    /// Calls that posted them.
    receive_doorbells,
    /// Completions of receives; the bytes lie in the slot that was posted, never copied.
    receive_completions,
    /// Times the region was registered: once for every time a device was opened.
    registrations,
    /// Bursts refused because a send queue was full.
    sends_full,
    /// Bursts refused because they break a limit.
    sends_too_big,
    /// Copies of bursts not sent because there is no connection to the peer.
    sends_unconnected,
    /// Copies of bursts not sent because the peer's queue was full while others' were not.
    sends_crowded,
    /// Work requests that ended with an error, or were refused.
    sends_failed,
    /// Receives that ended with an error.
    receives_failed,
    /// Our own multicasts, heard and dropped.
    loopbacks,
    /// Receptions of a form no peer of ours sends.
    malformed,
    /// Times a receive queue could not be filled because the pool had no slot.
    buffers_exhausted,
    /// Connections that came up (two for every peer).
    connections_made,
    /// Connections that were up and ended.
    connections_lost,
    /// Connection attempts that failed for any reason, and requests that we refused.
    connections_failed,
    /// Attempts that the peer's host refused: no engine is there, or not yet.
    connections_refused,
    /// Attempts for which no address or no route was found.
    connections_unresolved,
    /// Multicast groups joined.
    groups_joined,
    /// Times the datagram queue pair had stopped and was started anew.
    datagrams_revived,
    /// Reports that a peer is unreachable.
    unreachable,
    /// Times the port went down.
    port_errors,
    /// Times a device was lost.
    devices_lost,
    /// Times the engine slept.
    waits,
}
