//! The process, as the operating system sees it, and the program.

use std::fs;

use super::{Page, Type};

/// Clock ticks in a second, as Linux counts for programs on every machine.
const TICKS: f64 = 100.0;

/// What the program is: name and labels of `thanos_build_info`.
pub fn build(page: &mut Page) {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    page.family(
        "thanos_build_info",
        Type::Gauge,
        "A metric with a constant '1' value labeled by what the program was built from.",
    )
    .value(
        &[
            ("branch", ""),
            ("goarch", arch),
            ("goos", std::env::consts::OS),
            ("goversion", concat!("none, Rust ", env!("CARGO_PKG_RUST_VERSION"))),
            ("revision", "unknown"),
            ("tags", "blockyard"),
            ("version", env!("CARGO_PKG_VERSION")),
        ],
        1.0,
    );
}

/// What Linux tells about this process; elsewhere, nothing.
pub fn process(page: &mut Page) {
    let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let stat = read("stat");
    // the name of the program may hold anything, and ends with the last bracket
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    // fields are numbered from 1 in proc(5), and two come before
    let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<f64>().ok());
    if let (Some(user), Some(system)) = (field(14), field(15)) {
        let help = "Total user and system CPU time spent in seconds.";
        page.one("process_cpu_seconds_total", Type::Counter, help, (user + system) / TICKS);
    }
    let booted = fs::read_to_string("/proc/stat").unwrap_or_default();
    let booted = booted.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok());
    if let (Some(booted), Some(started)) = (booted, field(22)) {
        let help = "Start time of the process since unix epoch in seconds.";
        page.one("process_start_time_seconds", Type::Gauge, help, booted + started / TICKS);
    }
    if let Some(bytes) = field(23) {
        page.one("process_virtual_memory_bytes", Type::Gauge, "Virtual memory size in bytes.", bytes);
    }
    let status = read("status");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    if let Some(resident) = resident {
        page.one("process_resident_memory_bytes", Type::Gauge, "Resident memory size in bytes.", resident * 1024.0);
    }
    let limits = read("limits");
    let limit = |name: &str| {
        let soft = limits.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next())?;
        // without a limit it is the largest number there is, as Go has it
        if soft == "unlimited" { Some(u64::MAX as f64) } else { soft.parse().ok() }
    };
    if let Some(most) = limit("Max open files") {
        page.one("process_max_fds", Type::Gauge, "Maximum number of open file descriptors.", most);
    }
    if let Some(most) = limit("Max address space") {
        let help = "Maximum amount of virtual memory available in bytes.";
        page.one("process_virtual_memory_max_bytes", Type::Gauge, help, most);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // the folder itself is open while it is read
        let open = open.count().saturating_sub(1);
        page.one("process_open_fds", Type::Gauge, "Number of open file descriptors.", open as f64);
    }
    network(page, &read("net/dev"));
}

fn network(page: &mut Page, devices: &str) {
    let (mut received, mut sent) = (0.0, 0.0);
    let mut any = false;
    for (_, numbers) in devices.lines().filter_map(|line| line.split_once(':')) {
        let numbers: Vec<f64> = numbers.split_whitespace().map_while(|n| n.parse().ok()).collect();
        if let (Some(in_bytes), Some(out_bytes)) = (numbers.first(), numbers.get(8)) {
            (received, sent, any) = (received + in_bytes, sent + out_bytes, true);
        }
    }
    if any {
        let help = "Number of bytes received by the process over the network.";
        page.one("process_network_receive_bytes_total", Type::Counter, help, received);
        let help = "Number of bytes sent by the process over the network.";
        page.one("process_network_transmit_bytes_total", Type::Counter, help, sent);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::super::Format;
    use super::*;

    #[test]
    fn this_process_is_alive() {
        let mut page = Page::new(Format::Text);
        process(&mut page);
        let text = page.finish();
        let value = |name: &str| -> f64 {
            let line = text.lines().find(|line| line.split(' ').next() == Some(name)).unwrap_or_else(|| panic!("no {name}"));
            line.split(' ').nth(1).unwrap().parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e5);
        assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
        assert!(value("process_start_time_seconds") > 1.5e9);
        assert!(value("process_open_fds") >= 1.0 && value("process_open_fds") <= value("process_max_fds"));
        assert!(value("process_cpu_seconds_total") >= 0.0);
    }
}
