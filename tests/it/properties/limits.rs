//! No schedule of requests is granted more than the limit, and what `Retry-After` says is true: obeyed it succeeds, and a
//! second earlier it fails.

use std::sync::Arc;
use std::time::Duration;

use mintage::clock::{ManualClock, UnixTime};
use mintage::limit::{Allowance, Exceeded, Limit, Moment, Permit, Rate, Shadow, Taken, Whose};
use proptest::collection::vec;
use proptest::prelude::*;

use super::cases;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// One credential, and what it was granted.
struct Credential {
    clock: ManualClock,
    allowance: Arc<Allowance>,
    rate: Rate,
    granted: Vec<Duration>,
    under_way: Vec<Permit>,
}

impl Credential {
    fn new(rate: Rate) -> Self {
        let clock = ManualClock::new(UnixTime::from_seconds(1_790_000_000));
        // No limit begins where the clock does.
        clock.advance(Duration::from_millis(12_345_678));
        Self { clock, allowance: Arc::default(), rate, granted: Vec::new(), under_way: Vec::new() }
    }

    fn ask(&mut self) -> Result<(), Exceeded> {
        let moment = Moment::of(&self.clock);
        let Taken { standing, permit, .. } =
            self.allowance.take(&self.rate, Shadow::default(), moment, Whose::Client)?;
        self.granted.push(moment.elapsed);
        self.under_way.extend(permit);
        if let Some(standing) = standing {
            assert!(standing.remaining < standing.quota, "{standing:?}");
            assert!(standing.reset_at > moment.now, "{standing:?}");
        }
        Ok(())
    }

    /// Any stretch of time that begins with a grant and ends with one.
    fn check(&self) {
        for (first, from) in self.granted.iter().enumerate() {
            for (last, to) in self.granted.iter().enumerate().skip(first) {
                let (count, span) = ((last - first + 1) as f64, *to - *from);
                if self.rate.per_minute > 0 {
                    let most = f64::from(self.rate.burst) + f64::from(self.rate.per_minute) * span.as_secs_f64() / 60.0;
                    assert!(count <= most + 1e-6, "{count} in {span:?}, and {:?} has {most}", self.rate);
                }
                if self.rate.per_day > 0 && span < DAY {
                    assert!(count <= f64::from(self.rate.per_day), "{count} in {span:?}: {:?}", self.rate);
                }
            }
        }
    }

    /// Obeys a refusal.
    fn obey(&mut self, exceeded: Exceeded) {
        let wait = exceeded.retry_after;
        assert!(wait >= 1 && exceeded.standing.remaining == 0, "{exceeded:?}");
        // When those under way end is nothing that anybody knows; all else is.
        self.under_way.clear();
        if exceeded.standing.limit == Limit::Concurrent {
            return;
        }
        if wait > 1 {
            self.clock.advance(Duration::from_secs(wait - 1));
            let early = self.ask().expect_err("a second earlier it fails");
            assert_eq!(early.retry_after, 1, "{exceeded:?}");
        }
        self.clock.advance(Duration::from_secs(1));
        self.ask().unwrap_or_else(|again| panic!("{exceeded:?} was obeyed, and then {again:?}"));
    }
}

fn rates() -> impl Strategy<Value = Rate> {
    (0..90_u32, 1..40_u32, prop_oneof![Just(0), 1..60_u32], prop_oneof![Just(0), 1..5_u32])
        .prop_map(|(per_minute, burst, per_day, concurrent)| Rate { per_minute, burst, per_day, concurrent })
        .prop_map(|rate| if rate.per_minute == 0 { Rate { burst: 0, ..rate } } else { rate })
}

/// A pause in milliseconds, how many ask then, and how many of those under way end.
fn schedule() -> impl Strategy<Value = Vec<(u64, u8, u8)>> {
    let pause = prop_oneof![Just(0_u64), 0..1_500_u64, 0..90_000_u64, 0..20_000_000_u64];
    vec((pause, 0..30_u8, 0..6_u8), 1..40)
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn no_schedule_is_granted_more_and_who_waits_as_told_is_served(rate in rates(), steps in schedule(), obey in any::<u8>()) {
        let mut credential = Credential::new(rate);
        for (at, (pause, asked, ended)) in steps.into_iter().enumerate() {
            credential.clock.advance(Duration::from_millis(pause));
            for _ in 0..ended {
                credential.under_way.pop();
            }
            for _ in 0..asked {
                let refused = credential.ask().err();
                let most = rate.concurrent as usize;
                prop_assert!(most == 0 || credential.under_way.len() <= most);
                if let Some(exceeded) = refused {
                    if (at + usize::from(obey)) % 3 == 0 {
                        credential.obey(exceeded);
                    }
                    break;
                }
            }
        }
        credential.check();
    }

    /// What runs in shadow refuses nothing, and takes nothing from what does not.
    #[test]
    fn a_limit_in_shadow_refuses_nothing(steps in schedule()) {
        let clock = ManualClock::new(UnixTime::from_seconds(0));
        let rate = Rate { per_minute: 2, burst: 1, per_day: 3, concurrent: 1 };
        let shadow: Shadow = [Limit::PerMinute, Limit::PerDay, Limit::Concurrent].into_iter().collect();
        let allowance = Arc::new(Allowance::default());
        let mut under_way = Vec::new();
        for (pause, asked, ended) in steps {
            clock.advance(Duration::from_millis(pause));
            for _ in 0..ended {
                under_way.pop();
            }
            for _ in 0..asked {
                let taken = allowance.take(&rate, shadow, Moment::of(&clock), Whose::Client).unwrap();
                prop_assert!(taken.standing.is_none());
                under_way.push(taken.permit);
                prop_assert!(under_way.len() < 3 || !taken.shadowed.is_empty());
            }
        }
    }
}

/// A bucket keeps what was taken when its size is changed.
#[test]
fn a_limit_that_is_changed_does_not_begin_anew() {
    let allowance = Arc::new(Allowance::default());
    let clock = ManualClock::new(UnixTime::from_seconds(0));
    let take = |per_minute, burst| {
        let rate = Rate { per_minute, burst, ..Rate::UNLIMITED };
        allowance.take(&rate, Shadow::default(), Moment::of(&clock), Whose::Client).map(|taken| taken.standing)
    };
    for _ in 0..10 {
        take(10, 10).unwrap();
    }
    assert_eq!(take(10, 10).unwrap_err().retry_after, 6);
    assert_eq!(take(5, 5).unwrap_err().retry_after, 12, "a minute's worth was taken, and the last of five comes first");
    clock.advance(Duration::from_secs(60));
    assert_eq!(take(10, 10).unwrap().unwrap().remaining, 9);
}
