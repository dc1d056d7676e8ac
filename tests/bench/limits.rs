//! What limits cost, and what they are worth: tokens with and without them, and a client's tokens while somebody else
//! guesses at its secret as often as they can.
//!
//! `cargo bench --bench limits`. The servers are processes of their own and take turns, as in `issue`.
//! `MINTAGE_BENCH_SECONDS` and `MINTAGE_BENCH_ROUNDS` make it longer or shorter. Linux only.
#![allow(
    clippy::allow_attributes,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::string_slice,
    dead_code,
    reason = "a benchmark reads the real clock and prints; it shares a generator with others, and not all of it"
)]

mod full;
mod load;
mod process;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use load::{CONNECTIONS, Connections, Measured};
use process::{Role, Served};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What limits may cost: the throughput with them over that without.
const WANTED_WITH_LIMITS: f64 = 0.97;
/// What a flood may cost: the client's throughput under it over that in peace.
const WANTED_UNDER_FLOOD: f64 = 0.8;
/// The servers take turns this short, so that whatever else the machine does hits both alike.
const TURN: Duration = Duration::from_millis(250);
/// From how many connections the flood comes.
const FLOOD: usize = 256;
/// A guess is refused: as wrong at first, then as one too many.
const REFUSED: &[&[u8]] = &[b"HTTP/1.1 401 ", b"HTTP/1.1 429 "];

struct Plan {
    rounds: usize,
    span: Duration,
    /// Whether what comes out is judged.
    judged: bool,
}

impl Plan {
    /// `cargo test --all-targets` runs benchmarks too, unoptimized and without `--bench`: then it only has to work.
    fn read(args: &[String]) -> Result<Self> {
        if !args.iter().any(|arg| arg == "--bench") {
            return Ok(Self { rounds: 1, span: Duration::from_millis(500), judged: false });
        }
        let setting = |name: &str, default: u64| -> Result<u64> {
            std::env::var(name)
                .map_or(Ok(default), |text| text.parse().map_err(|_| format!("{name}: not a number").into()))
        };
        Ok(Self {
            rounds: usize::try_from(setting("MINTAGE_BENCH_ROUNDS", 7)?.max(1))?,
            span: Duration::from_secs(setting("MINTAGE_BENCH_SECONDS", 5)?.max(1)),
            judged: true,
        })
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve-full", data, sockets, limits] => served(full::serve(data.as_ref(), sockets.as_ref(), limits)),
        _ => compare(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn served(server: impl Future<Output = Result<()>>) -> Result<bool> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(server).map(|()| true)
}

/// The generator stays on one thread: what it takes, the servers lack.
fn compare(args: &[String]) -> Result<bool> {
    let plan = Plan::read(args)?;
    let run = async { Ok(limits_cost(&plan).await? & flood_costs(&plan).await?) };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0
}

fn per_second(measured: &Measured) -> f64 {
    measured.requests as f64 / measured.elapsed.as_secs_f64()
}

fn turns(plan: &Plan) -> usize {
    plan.span.div_duration_f64(TURN).ceil() as usize
}

/// Tokens without limits, and with limits that are never reached.
async fn limits_cost(plan: &Plan) -> Result<bool> {
    let folders =
        [tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?, tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?];
    let sockets = [tempfile::tempdir()?, tempfile::tempdir()?];
    let mut servers = Vec::new();
    for (place, limits) in ["off", "on"].into_iter().enumerate() {
        let (data, sockets) = (folders[place].path(), sockets[place].path());
        servers.push(Served::start(Role::Full { data, sockets, limits }).await?);
    }
    println!("what limits cost: {CONNECTIONS} connections, {} rounds of {:?} for each\n", plan.rounds, plan.span);
    println!("{:>6} | {:>20} | {:>20} | ratio: throughput   cpu", "round", "req/s without (us)", "req/s with (us)");
    let (mut throughput, mut cpu) = (Vec::new(), Vec::new());
    for number in 0..=plan.rounds {
        let mut open = Vec::new();
        for served in &servers {
            open.push(Connections::open(served.address, Arc::clone(&served.request), CONNECTIONS).await?);
        }
        let before = [servers[0].usage()?, servers[1].usage()?];
        let mut done = [Measured::default(), Measured::default()];
        for turn in 0..turns(plan) {
            // Whoever comes second in one turn comes first in the next.
            for place in [turn % 2, (turn + 1) % 2] {
                done[place] += open[place].run_for(TURN).await?;
            }
        }
        let mut micros = [0.0; 2];
        for place in [0, 1] {
            let used = (servers[place].usage()? - before[place]).cpu;
            micros[place] = used.as_secs_f64() * 1e6 / done[place].requests as f64;
        }
        // The first is a warm-up.
        if number == 0 {
            continue;
        }
        let [without, with] = [per_second(&done[0]), per_second(&done[1])];
        println!(
            "{number:>6} | {without:>12.0} {:>7.1} | {with:>12.0} {:>7.1} | {:>17.3} {:>5.3}",
            micros[0],
            micros[1],
            with / without,
            micros[0] / micros[1]
        );
        throughput.push(with / without);
        cpu.push(micros[0] / micros[1]);
    }
    for served in servers {
        served.stop().await?;
    }
    let (throughput, cpu) = (median(throughput), median(cpu));
    println!("median ratio: throughput {throughput:.3}, cpu {cpu:.3}   (at least {WANTED_WITH_LIMITS} wanted)\n");
    Ok(!plan.judged || throughput >= WANTED_WITH_LIMITS)
}

/// A client's tokens in peace, and while another address guesses at the secret of the same client.
async fn flood_costs(plan: &Plan) -> Result<bool> {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let sockets = tempfile::tempdir()?;
    let served = Served::start(Role::Full { data: data.path(), sockets: sockets.path(), limits: "failures" }).await?;
    println!(
        "what a flood costs: {CONNECTIONS} connections of the client, {FLOOD} of the flood, {} rounds of {:?} for each\n",
        plan.rounds, plan.span
    );
    println!("{:>6} | {:>14} | {:>15} {:>12} | ratio", "round", "req/s in peace", "req/s in flood", "guesses/s");
    let mut client = Connections::open(served.address, Arc::clone(&served.request), CONNECTIONS).await?;
    let mut flood = Connections::open_for(served.address, Arc::clone(&served.guess), FLOOD, REFUSED).await?;
    let mut ratios = Vec::new();
    for number in 0..=plan.rounds {
        let (mut peace, mut under, mut guesses) = (Measured::default(), Measured::default(), Measured::default());
        for _ in 0..turns(plan) {
            peace += client.run_for(TURN).await?;
            let (own, others) = tokio::try_join!(client.run_for(TURN), flood.run_for(TURN))?;
            under += own;
            guesses += others;
        }
        if number == 0 {
            continue;
        }
        let (peace, under) = (per_second(&peace), per_second(&under));
        println!("{number:>6} | {peace:>14.0} | {under:>15.0} {:>12.0} | {:.3}", per_second(&guesses), under / peace);
        ratios.push(under / peace);
    }
    served.stop().await?;
    let ratio = median(ratios);
    println!("median ratio: {ratio:.3}   (at least {WANTED_UNDER_FLOOD} wanted)");
    Ok(!plan.judged || ratio >= WANTED_UNDER_FLOOD)
}
