//! Tells what the process takes of its machine, as the system says at the moment of the question.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// The metrics that client libraries of Prometheus agree on, read from `/proc`. What cannot be read is left out.
#[derive(Debug)]
pub(super) struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Usage { cpu_seconds, start_time, resident_bytes, virtual_bytes, open_files, files_max } = Usage::read();
        let mut put = |name, help, metric: &dyn EncodeMetric| {
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        if let Some(seconds) = cpu_seconds {
            put("process_cpu_seconds", "Processor time used", &ConstCounter::new(seconds))?;
        }
        if let Some(time) = start_time {
            put("process_start_time_seconds", "When the process started", &ConstGauge::new(time))?;
        }
        let gauges = [
            ("process_resident_memory_bytes", "Memory that is held", resident_bytes),
            ("process_virtual_memory_bytes", "Address space that is taken", virtual_bytes),
            ("process_open_fds", "Open files and connections", open_files),
            ("process_max_fds", "Files and connections that may be open", files_max),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                put(name, help, &ConstGauge::new(value))?;
            }
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Usage {
    cpu_seconds: Option<f64>,
    /// In seconds since the Unix epoch.
    start_time: Option<f64>,
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    open_files: Option<u64>,
    files_max: Option<u64>,
}

impl Usage {
    fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (stat, status, limits) = (text("/proc/self/stat"), text("/proc/self/status"), text("/proc/self/limits"));
        let tick = fs::read("/proc/self/auxv").ok().and_then(|auxv| ticks_per_second(&auxv));
        let boot = text("/proc/stat").lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok());
        let seconds = |ticks: f64| Some(ticks / tick?);
        Self {
            // The fields after the name, which may hold anything, are counted from the third.
            cpu_seconds: field(&stat, 14).zip(field(&stat, 15)).and_then(|(user, system)| seconds(user + system)),
            start_time: field(&stat, 22).and_then(seconds).zip(boot).map(|(since_boot, boot)| boot + since_boot),
            resident_bytes: kibibytes(&status, "VmRSS:"),
            virtual_bytes: kibibytes(&status, "VmSize:"),
            open_files: fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as u64),
            files_max: limits
                .lines()
                .find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok()),
        }
    }
}

/// A field of `/proc/self/stat`, counted from 1.
fn field(stat: &str, number: usize) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1_024)
}

/// In how many ticks of a second the system counts: it tells each process at its start, in pairs of words.
fn ticks_per_second(auxv: &[u8]) -> Option<f64> {
    const TICKS: usize = 17;
    let word = |bytes: &[u8]| bytes.try_into().ok().map(usize::from_ne_bytes);
    let mut pairs = auxv.chunks_exact(2 * size_of::<usize>()).map(|pair| pair.split_at(size_of::<usize>()));
    let ticks = pairs.find_map(|(kind, value)| (word(kind)? == TICKS).then(|| word(value)).flatten())?;
    u32::try_from(ticks).ok().filter(|ticks| *ticks > 0).map(f64::from)
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_process_that_asks_is_the_one_that_is_told_of() {
        let usage = Usage::read();
        assert!(usage.cpu_seconds.is_some_and(|seconds| (0.0..3600.0).contains(&seconds)), "{usage:?}");
        assert!(usage.resident_bytes.is_some_and(|bytes| bytes > 1 << 20), "{usage:?}");
        assert!(usage.virtual_bytes >= usage.resident_bytes, "{usage:?}");
        assert!(usage.open_files.is_some_and(|files| files > 2) && usage.open_files <= usage.files_max, "{usage:?}");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(usage.start_time.is_some_and(|start| start < now + 2.0 && start > now - 3600.0), "{usage:?}");
    }

    #[test]
    fn a_name_with_spaces_and_brackets_shifts_no_field() {
        let stat = "7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 8 0 4242 9 9";
        assert_eq!((field(stat, 14), field(stat, 15), field(stat, 22)), (Some(150.0), Some(50.0), Some(4242.0)));
        assert_eq!(field("", 14), None);
    }
}
