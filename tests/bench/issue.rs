//! What a token costs: the whole service against a bare handler that does nothing but what nobody can leave out.
//!
//! `cargo bench --bench issue`. Each server is a process of its own, this program run again, so that its CPU time can
//! be read alone: on a small machine the generator takes its share of the cores, and requests per second tell about
//! both. `MINTAGE_BENCH_SECONDS` and `MINTAGE_BENCH_ROUNDS` make it longer or shorter. Reads `/proc`, so Linux only.
#![allow(
    clippy::allow_attributes,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::string_slice,
    reason = "a benchmark reads the real clock and prints"
)]

mod bare;
mod full;
mod load;
mod process;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use load::{CONNECTIONS, Connections, Measured};
use process::{Role, Served, Usage};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Below this the service is too slow, as requests per second over those of the bare handler.
const WANTED_RATIO: f64 = 0.85;
/// From here on, issuing is held to write to the disk with each request.
const MAX_DISK_BYTES_PER_REQUEST: f64 = 64.0;
/// How much more may be written in a second under load than at [`TRICKLE_RATE`], thousands of times fewer requests.
const MAX_DISK_GROWTH: f64 = 4.0;
/// Requests a second that keep the once-a-second write of last uses going, and cost nothing else.
const TRICKLE_RATE: u64 = 5;
const TRICKLE: Duration = Duration::from_secs(4);
/// What a round may take beyond its own time before the run is given up.
const SLACK: Duration = Duration::from_secs(10);

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
        Ok(Self {
            rounds: setting("MINTAGE_BENCH_ROUNDS", 5)?,
            span: Duration::from_secs(setting("MINTAGE_BENCH_SECONDS", 5)?),
            judged: true,
        })
    }

    fn longest(&self) -> Duration {
        let rounds = u32::try_from(2 * (self.rounds + 1)).unwrap_or(u32::MAX);
        (self.span + SLACK).saturating_mul(rounds).saturating_add(TRICKLE + Duration::from_secs(60))
    }
}

fn setting<T: std::str::FromStr + PartialOrd + From<u8>>(name: &str, default: u8) -> Result<T> {
    let Ok(text) = std::env::var(name) else { return Ok(default.into()) };
    text.parse().ok().filter(|n| *n >= T::from(1)).ok_or_else(|| format!("{name}: not a number from 1 up").into())
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve-bare"] => served(bare::serve()),
        ["serve-full", data, sockets] => served(full::serve(data.as_ref(), sockets.as_ref())),
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

/// Both servers get the runtime that a service has by default.
fn served(server: impl Future<Output = Result<()>>) -> Result<bool> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(server).map(|()| true)
}

/// The generator stays on one thread: what it takes, the servers lack.
fn compare(args: &[String]) -> Result<bool> {
    let plan = Plan::read(args)?;
    let run = async { tokio::time::timeout(plan.longest(), run(&plan)).await };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run)?
}

async fn run(plan: &Plan) -> Result<bool> {
    // Not in /tmp, which may be a tmpfs: what is written there is not counted. Sockets want short paths.
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let sockets = tempfile::tempdir()?;
    let bare = Served::start(Role::Bare).await?;
    let full = Served::start(Role::Full { data: data.path(), sockets: sockets.path() }).await?;

    println!(
        "{CONNECTIONS} connections, {} rounds of {:?} each after a warm-up, {} cores\n",
        plan.rounds,
        plan.span,
        std::thread::available_parallelism()?
    );
    let sizes = (round(&bare, plan.span).await?.token_bytes, round(&full, plan.span).await?.token_bytes);
    println!("{:>6} | {:^37} | {:^37}", "", "bare", "mintage");
    println!("{:>6} | {HEAD} | {HEAD}", "round");
    let (mut of_bare, mut of_full) = (Vec::new(), Vec::new());
    for number in 1..=plan.rounds {
        let a = round(&bare, plan.span).await?;
        let b = round(&full, plan.span).await?;
        println!("{number:>6} | {} | {}", a.row(), b.row());
        of_bare.push(a);
        of_full.push(b);
    }
    let (a, b) = (Typical::of(&of_bare), Typical::of(&of_full));
    println!("{:>6} | {} | {}\n", "median", a.row(), b.row());

    println!("token: bare {} bytes, mintage {} bytes", sizes.0, sizes.1);
    let alike = sizes.0.abs_diff(sizes.1) * 20 <= sizes.0;
    if !alike {
        println!("FAILED: tokens of different sizes do not compare");
    }
    let spares_disk = check_disk(&full, &of_full).await?;
    full.stop().await?;
    bare.stop().await?;

    let throughput = b.per_second / a.per_second;
    println!(
        "ratio (throughput): {throughput:.2}   ratio (cpu): {:.2}   (at least {WANTED_RATIO} wanted)",
        a.cpu_micros / b.cpu_micros
    );
    Ok(!plan.judged || (alike && spares_disk && throughput >= WANTED_RATIO))
}

/// One measured round.
struct Round {
    load: Measured,
    server: Usage,
    generator: Usage,
    token_bytes: usize,
}

async fn round(server: &Served, span: Duration) -> Result<Round> {
    let taken = async {
        let mut connections = Connections::open(server.address, server.request.clone(), CONNECTIONS).await?;
        let before = (server.usage()?, process::own_usage()?);
        let load = connections.run_for(span).await?;
        let after = (server.usage()?, process::own_usage()?);
        let token_bytes = load::check_token(&load.sample)?;
        Ok(Round { load, server: after.0 - before.0, generator: after.1 - before.1, token_bytes })
    };
    tokio::time::timeout(span + SLACK, taken).await.map_err(|_| "a round does not come to its end")?
}

/// What [`Round::row`] and [`Typical::row`] fill.
const HEAD: &str = "    req/s  server cpu us/req  generator";

impl Round {
    fn requests(&self) -> f64 {
        self.load.requests as f64
    }

    fn per_second(&self) -> f64 {
        self.requests() / self.load.elapsed.as_secs_f64()
    }

    fn cpu_micros(&self) -> f64 {
        self.server.cpu.as_secs_f64() * 1e6 / self.requests()
    }

    /// Near 1 the generator is what limits, and requests per second say nothing about the server.
    fn generator_load(&self) -> f64 {
        self.generator.cpu.as_secs_f64() / self.load.elapsed.as_secs_f64()
    }

    fn row(&self) -> String {
        row(self.per_second(), self.cpu_micros(), self.generator_load())
    }
}

fn row(per_second: f64, cpu_micros: f64, generator_load: f64) -> String {
    format!("{per_second:>9.0}  {cpu_micros:>17.1}  {:>8.0}%", generator_load * 100.0)
}

/// The medians of some rounds.
struct Typical {
    per_second: f64,
    cpu_micros: f64,
    generator_load: f64,
}

impl Typical {
    fn of(rounds: &[Round]) -> Self {
        let median = |of: fn(&Round) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0
        };
        Self {
            per_second: median(Round::per_second),
            cpu_micros: median(Round::cpu_micros),
            generator_load: median(Round::generator_load),
        }
    }

    fn row(&self) -> String {
        row(self.per_second, self.cpu_micros, self.generator_load)
    }
}

/// Whether issuing leaves the disk alone. Last uses are written once a second, however many tokens were issued: so what
/// is written hardly grows with the load.
async fn check_disk(server: &Served, under_load: &[Round]) -> Result<bool> {
    let before = server.usage()?;
    let mut connection = Connections::open(server.address, server.request.clone(), 1).await?;
    let few = connection.run_at(TRICKLE_RATE, TRICKLE).await?;
    let trickle = (server.usage()? - before).disk_written as f64 / few.elapsed.as_secs_f64();

    let sum = |of: fn(&Round) -> f64| under_load.iter().map(of).sum::<f64>();
    let (written, read) = (sum(|r| r.server.disk_written as f64), sum(|r| r.server.disk_read as f64));
    let per_request = written / sum(Round::requests);
    let per_second = written / sum(|r| r.load.elapsed.as_secs_f64());
    println!(
        "disk under load: {per_request:.2} bytes written and {:.2} read per request; {:.0} KiB written per second, \
         {:.0} at {TRICKLE_RATE} requests/s",
        read / sum(Round::requests),
        per_second / 1024.0,
        trickle / 1024.0
    );
    if trickle <= 0.0 {
        println!("FAILED: not even last uses were written, so nothing was counted: is the target folder on a disk?");
        return Ok(false);
    }
    let spared = per_request < MAX_DISK_BYTES_PER_REQUEST && per_second < trickle * MAX_DISK_GROWTH;
    if !spared {
        println!(
            "FAILED: fewer than {MAX_DISK_BYTES_PER_REQUEST} bytes per request wanted, and not {MAX_DISK_GROWTH} times \
             as many per second as at {TRICKLE_RATE} requests/s"
        );
    }
    Ok(spared)
}
