//! The checks themselves. Each takes what it read as arguments where it can be told apart from reading
//! it, so that the judgement is tested without the host.

use std::fs;

use rustix::process::{Resource, getrlimit};

use super::{Finding, Verdict};

/// Socket buffers the engine asks for (one burst of every peer of a mid-sized ring).
const SOCKET_BUFFER_BYTES: u64 = 4 << 20;

/// Locked memory that holds the default region and rings.
const MEMLOCK_BYTES: u64 = 64 << 20;

/// File descriptors for a hundred clients at six each, sockets and files.
const FILES: u64 = 1024;

/// Runs all checks.
pub(crate) fn all() -> Vec<Finding> {
    vec![
        io_uring(),
        socket_buffer("receive buffer", "net.core.rmem_max"),
        socket_buffer("send buffer", "net.core.wmem_max"),
        limit(
            "locked memory",
            Resource::Memlock,
            MEMLOCK_BYTES,
            "LimitMEMLOCK=infinity",
            "ulimit -l",
        ),
        limit("open files", Resource::Nofile, FILES, "LimitNOFILE=65536", "ulimit -n"),
        cores(std::thread::available_parallelism().map_or(1, |cores| cores.get())),
        clock_source(&read("/sys/devices/system/clocksource/clocksource0/current_clocksource")),
        huge_pages(&read("/sys/kernel/mm/transparent_hugepage/shmem_enabled")),
        mtu(),
        rdma(),
    ]
}

/// Only told: RDMA is needed where the configuration asks for it, and there the engine insists.
#[cfg(feature = "verbs")]
fn rdma() -> Finding {
    let found = match verbs::probe() {
        Ok(ports) => {
            let told = |p: &verbs::DeviceReport| {
                let state = if p.active { "active" } else { "not active" };
                let layer = p.link_layer;
                format!("{} port {} ({layer}, {state}, MTU {})", p.device, p.port, p.mtu_bytes)
            };
            ports.iter().map(told).collect::<Vec<_>>().join(", ")
        }
        Err(reason) => format!("transport.kind = \"verbs\" would not work: {reason}"),
    };
    finding("RDMA", Verdict::Good, found, "")
}

#[cfg(not(feature = "verbs"))]
fn rdma() -> Finding {
    let found = "not built in (cargo build --features verbs)";
    finding("RDMA", Verdict::Good, found.into(), "")
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn finding(check: &'static str, verdict: Verdict, found: String, advice: &str) -> Finding {
    let advice = if verdict == Verdict::Good { String::new() } else { advice.to_owned() };
    Finding { check, verdict, found, advice }
}

fn io_uring() -> Finding {
    match uring::probe() {
        Ok(warnings) if warnings.is_empty() => {
            finding("io_uring", Verdict::Good, "every operation needed is there".into(), "")
        }
        Ok(warnings) => {
            let found: Vec<String> = warnings.iter().map(ToString::to_string).collect();
            finding("io_uring", Verdict::Advice, found.join("; "), "Linux 6.1 or newer is faster")
        }
        Err(error) => finding(
            "io_uring",
            Verdict::Bad,
            error.to_string(),
            "use Linux 6.1 or newer, sysctl kernel.io_uring_disabled=0, and a seccomp profile that allows io_uring",
        ),
    }
}

fn socket_buffer(check: &'static str, sysctl: &'static str) -> Finding {
    let path = format!("/proc/sys/{}", sysctl.replace('.', "/"));
    judge_socket_buffer(check, sysctl, read(&path).parse().unwrap_or(0))
}

fn judge_socket_buffer(check: &'static str, sysctl: &str, bytes: u64) -> Finding {
    let verdict = if bytes >= SOCKET_BUFFER_BYTES { Verdict::Good } else { Verdict::Advice };
    let advice = format!(
        "sysctl -w {sysctl}={SOCKET_BUFFER_BYTES} (bursts of large rings overflow smaller buffers and are sent again)"
    );
    finding(check, verdict, format!("{sysctl} = {bytes}"), &advice)
}

fn limit(check: &'static str, what: Resource, wanted: u64, systemd: &str, shell: &str) -> Finding {
    judge_limit(check, getrlimit(what).current, wanted, systemd, shell)
}

fn judge_limit(
    check: &'static str,
    current: Option<u64>,
    wanted: u64,
    systemd: &str,
    shell: &str,
) -> Finding {
    let verdict =
        if current.is_none_or(|now| now >= wanted) { Verdict::Good } else { Verdict::Advice };
    let found = current.map_or("unlimited".to_owned(), |now| now.to_string());
    finding(
        check,
        verdict,
        found,
        &format!("at least {wanted}: {systemd} in the unit, or `{shell}`"),
    )
}

fn cores(count: usize) -> Finding {
    let verdict = if count >= 2 { Verdict::Good } else { Verdict::Advice };
    let advice = "with one core a spinning engine starves its clients: set engine.idle = \"park\"";
    finding("cores", verdict, count.to_string(), advice)
}

fn clock_source(name: &str) -> Finding {
    let fast = ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page"];
    let verdict = if fast.contains(&name) { Verdict::Good } else { Verdict::Advice };
    let advice = "reading this clock is a system call (about 1 us each); boot with \
                  clocksource=tsc if the host has an invariant TSC";
    finding("clock source", verdict, name.to_owned(), advice)
}

fn huge_pages(setting: &str) -> Finding {
    let chosen = setting.split(['[', ']']).nth(1).unwrap_or("unknown");
    let on = ["always", "within_size", "advise", "force"].contains(&chosen);
    let verdict = if on { Verdict::Good } else { Verdict::Advice };
    let advice = "echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled (fewer TLB misses in the region)";
    finding("huge pages", verdict, format!("shmem_enabled = {chosen}"), advice)
}

fn mtu() -> Finding {
    let interfaces = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let mut found: Vec<String> = Vec::new();
    let mut small = false;
    for interface in interfaces {
        let mtu: u32 = read(&format!("{}/mtu", interface.path().display())).parse().unwrap_or(0);
        let up = read(&format!("{}/operstate", interface.path().display())) != "down";
        if up {
            small |= mtu < 1280;
            found.push(format!("{} {mtu}", interface.file_name().to_string_lossy()));
        }
    }
    found.sort();
    let verdict = if small { Verdict::Advice } else { Verdict::Good };
    finding(
        "MTU",
        verdict,
        found.join(", "),
        "less than 1280 bytes leaves little room for messages",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_given_exactly_when_something_is_wrong() {
        for finding in [
            judge_socket_buffer("b", "net.core.rmem_max", 212_992),
            judge_limit("l", Some(65_536), MEMLOCK_BYTES, "s", "u"),
            cores(1),
            clock_source("hpet"),
            huge_pages("always within_size advise [never] deny force"),
        ] {
            assert_eq!(finding.verdict, Verdict::Advice, "{finding:?}");
            assert!(!finding.advice.is_empty());
        }
        for finding in [
            judge_socket_buffer("b", "net.core.rmem_max", SOCKET_BUFFER_BYTES),
            judge_limit("l", None, MEMLOCK_BYTES, "s", "u"),
            cores(2),
            clock_source("tsc"),
            huge_pages("always within_size [advise] never deny force"),
        ] {
            assert_eq!((finding.verdict, finding.advice.as_str()), (Verdict::Good, ""));
        }
    }
}
