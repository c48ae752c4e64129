//! Making the io_uring: flags, probes and what to say when something is missing.

use io_uring::{IoUring, Probe, opcode};

use crate::config::Warning;
use crate::error::{Error, explain_setup, kernel_release};

/// Whether this kernel gives us a ring with everything that is used; what is not as good as it could be.
///
/// # Errors
/// What is missing, and since when kernels have it.
pub fn probe() -> Result<Vec<Warning>, Error> {
    let mut warnings = Vec::new();
    open(8, 16, &mut warnings)?;
    Ok(warnings)
}

/// Makes a ring with the best flags the kernel takes and checks for the opcodes used.
pub(crate) fn open(
    submissions: u32,
    completions: u32,
    warnings: &mut Vec<Warning>,
) -> Result<IoUring, Error> {
    let ring = build(submissions, completions, warnings)?;
    let mut probe = Probe::new();
    ring.submitter()
        .register_probe(&mut probe)
        .map_err(|source| Error::Ring { step: "probe the io_uring opcodes", source })?;
    for (what, since, code) in [
        ("the opcode RECVMSG", "5.3", opcode::RecvMsgMulti::CODE),
        ("the opcode SENDMSG", "5.3", opcode::SendMsg::CODE),
        ("the opcode POLL_ADD", "5.1", opcode::PollAdd::CODE),
        ("the opcode ASYNC_CANCEL", "5.5", opcode::AsyncCancel::CODE),
    ] {
        if !probe.is_supported(code) {
            return Err(Error::Missing { what, since, kernel: kernel_release() });
        }
    }
    if !ring.params().is_feature_ext_arg() {
        let kernel = kernel_release();
        return Err(Error::Missing {
            what: "waits with a timeout (EXT_ARG)",
            since: "5.11",
            kernel,
        });
    }
    if !ring.params().is_feature_nodrop() {
        let kernel = kernel_release();
        return Err(Error::Missing {
            what: "completions that are never dropped",
            since: "5.5",
            kernel,
        });
    }
    Ok(ring)
}

/// Tries sets of flags from the newest to the oldest.
fn build(
    submissions: u32,
    completions: u32,
    warnings: &mut Vec<Warning>,
) -> Result<IoUring, Error> {
    let base = || {
        let mut builder = IoUring::builder();
        builder.dontfork().setup_cqsize(completions).setup_clamp();
        builder
    };
    // Completions run when we ask for them, on this thread only, and a flag in shared memory says
    // when there are any: no interrupts, no locks, no system call to learn that nothing happened.
    let mut best = base();
    best.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_submit_all();
    let refused = match best.build(submissions) {
        Ok(ring) => return Ok(ring),
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => e,
        Err(e) => return Err(explain_setup(e)),
    };
    let mut middle = base();
    middle.setup_coop_taskrun().setup_taskrun_flag().setup_submit_all();
    let missing = "DEFER_TASKRUN and SINGLE_ISSUER";
    let reason = format!("{refused}; Linux 6.1 has them, this is {}", kernel_release());
    match middle.build(submissions) {
        Ok(ring) => {
            warnings.push(Warning::ReducedRing { missing, reason });
            return Ok(ring);
        }
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {}
        Err(e) => return Err(explain_setup(e)),
    }
    let ring = base().build(submissions).map_err(explain_setup)?;
    let missing = "DEFER_TASKRUN, SINGLE_ISSUER, COOP_TASKRUN and SUBMIT_ALL";
    warnings.push(Warning::ReducedRing { missing, reason });
    Ok(ring)
}
