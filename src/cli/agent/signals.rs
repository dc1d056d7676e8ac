//! The signals that are caught, from before anything is served that has to be cleared away.

use std::future::poll_fn;
use std::task::Poll;

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};

use crate::cli::Failure;

/// What ends an agent, and what is to have it read its files anew, which it does anyway.
pub(super) const OWN: &[Signal] = &[Signal::INT, Signal::TERM, Signal::HUP];
/// What is the affair of the program that it runs; each of them would end an agent that does not catch it, and leave the
/// program behind.
pub(super) const PASSED_ON: &[Signal] =
    &[Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2];

/// The signals that whoever started this has it ignore, a bit for each; none where the system does not say.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Signals as they come.
#[derive(Debug)]
pub(super) struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    /// Catches these from now on, but for those that are ignored: under `nohup` a hang-up is to stay without effect.
    pub(super) fn catch(wanted: &[Signal]) -> Result<Self, Failure> {
        let catch = |wanted: &Signal| Ok((*wanted, unix::signal(SignalKind::from_raw(wanted.as_raw()))?));
        let ignored = ignored();
        let wanted = wanted.iter().filter(|wanted| ignored & (1 << (wanted.as_raw() - 1)) == 0);
        wanted.map(catch).collect::<Result<_, Failure>>().map(Self)
    }

    /// The next one. Cancel safe.
    pub(super) async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            let come =
                self.0.iter_mut().find_map(|(name, signal)| signal.poll_recv(context).is_ready().then_some(*name));
            come.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}
