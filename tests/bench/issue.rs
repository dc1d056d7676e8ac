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
    dead_code,
    reason = "a benchmark reads the real clock and prints; it shares a generator with others, and not all of it"
)]

mod bare;
mod full;
mod load;
mod process;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use load::{CONNECTIONS, Connections, Measured};
use process::{Role, Served, Usage};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Below this the service is too slow, as requests per second over those of the bare handler.
const WANTED_RATIO: f64 = 0.85;
/// The servers take turns this short within a round, so that whatever else the machine does hits both alike.
const TURN: Duration = Duration::from_millis(250);
/// Each token has a record in the audit log, and they are written together, once a second: from here on, more than
/// these is written.
const MAX_WRITTEN_PER_REQUEST: f64 = 1024.0;
/// From here on, issuing is held to read from the disk.
const MAX_READ_PER_REQUEST: f64 = 1.0;
/// Requests a second that keep the once-a-second write going, and cost nothing else.
const TRICKLE_RATE: u64 = 5;
const TRICKLE: Duration = Duration::from_secs(4);
/// What a round may take beyond its own time before the run is given up.
const SLACK: Duration = Duration::from_secs(15);

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
        let rounds = u32::try_from(self.rounds + 1).unwrap_or(u32::MAX);
        (self.span * 2 + SLACK).saturating_mul(rounds).saturating_add(TRICKLE + Duration::from_secs(60))
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
    let full = Served::start(Role::Full { data: data.path(), sockets: sockets.path(), limits: "off" }).await?;

    println!(
        "{CONNECTIONS} connections, {} rounds of {:?} for each server after a warm-up, in turns of {TURN:?}; {} cores\n",
        plan.rounds,
        plan.span,
        std::thread::available_parallelism()?
    );
    let (a, b) = round(&bare, &full, plan.span).await?;
    let sizes = (a.token_bytes, b.token_bytes);
    println!("{:>6} | {:^37} | {:^37} | {:^16}", "", "bare", "mintage", "ratio");
    println!("{:>6} | {HEAD} | {HEAD} | throughput   cpu", "round");
    let mut rounds = Vec::new();
    for number in 1..=plan.rounds {
        let pair = round(&bare, &full, plan.span).await?;
        println!("{number:>6} | {}", row(&[&pair]));
        rounds.push(pair);
    }
    let all: Vec<&Pair> = rounds.iter().collect();
    println!("{:>6} | {}\n", "median", row(&all));

    println!("token: bare {} bytes, mintage {} bytes", sizes.0, sizes.1);
    let alike = sizes.0.abs_diff(sizes.1) * 20 <= sizes.0;
    if !alike {
        println!("FAILED: tokens of different sizes do not compare");
    }
    let spares_disk = check_disk(&full, rounds.iter().map(|(_, full)| full)).await?;
    full.stop().await?;
    bare.stop().await?;

    let throughput = median(&all, throughput_ratio);
    println!(
        "ratio (throughput): {throughput:.3}   ratio (cpu): {:.3}   (at least {WANTED_RATIO} wanted)",
        median(&all, cpu_ratio)
    );
    Ok(!plan.judged || (alike && spares_disk && throughput >= WANTED_RATIO))
}

/// What one server did in a round.
struct Part {
    requests: u64,
    /// Its own turns.
    elapsed: Duration,
    /// The whole round, others' turns included: what is done in the background is counted too.
    wall: Duration,
    server: Usage,
    /// The generator's, in these turns.
    generator: Duration,
    token_bytes: usize,
}

/// Bare, then mintage.
type Pair = (Part, Part);

async fn round(bare: &Served, full: &Served, span: Duration) -> Result<Pair> {
    let taken = async {
        let mut parts = [Turns::begin(bare).await?, Turns::begin(full).await?];
        let start = Instant::now();
        for turn in 0..span.div_duration_f64(TURN).ceil() as usize {
            // Whoever comes second in one turn comes first in the next.
            for place in [turn % 2, (turn + 1) % 2] {
                parts[place].take().await?;
            }
        }
        let [bare, full] = parts.map(|part| part.end(start.elapsed()));
        Result::Ok((bare?, full?))
    };
    tokio::time::timeout(span * 2 + SLACK, taken).await.map_err(|_| "a round does not come to its end")?
}

/// A [`Part`] in the making.
struct Turns<'a> {
    served: &'a Served,
    connections: Connections,
    before: Usage,
    load: Measured,
    generator: Duration,
}

impl<'a> Turns<'a> {
    async fn begin(served: &'a Served) -> Result<Self> {
        let connections = Connections::open(served.address, Arc::clone(&served.request), CONNECTIONS).await?;
        Ok(Self { served, connections, before: served.usage()?, load: Measured::default(), generator: Duration::ZERO })
    }

    async fn take(&mut self) -> Result<()> {
        let before = process::own_usage()?;
        self.load += self.connections.run_for(TURN).await?;
        self.generator += (process::own_usage()? - before).cpu;
        Ok(())
    }

    fn end(self, wall: Duration) -> Result<Part> {
        Ok(Part {
            requests: self.load.requests,
            elapsed: self.load.elapsed,
            wall,
            server: self.served.usage()? - self.before,
            generator: self.generator,
            token_bytes: load::check_token(self.connections.sample())?,
        })
    }
}

impl Part {
    fn requests(&self) -> f64 {
        self.requests as f64
    }

    fn per_second(&self) -> f64 {
        self.requests() / self.elapsed.as_secs_f64()
    }

    fn cpu_micros(&self) -> f64 {
        self.server.cpu.as_secs_f64() * 1e6 / self.requests()
    }

    /// Of one core. Near 100 the generator is what limits, and requests per second say nothing about the server.
    fn generator_percent(&self) -> f64 {
        100.0 * self.generator.div_duration_f64(self.elapsed)
    }
}

/// Within a round, where both had the same machine: rounds differ more than servers do.
fn throughput_ratio((bare, full): &Pair) -> f64 {
    full.per_second() / bare.per_second()
}

fn cpu_ratio((bare, full): &Pair) -> f64 {
    bare.cpu_micros() / full.cpu_micros()
}

fn median(pairs: &[&Pair], value: impl Fn(&Pair) -> f64) -> f64 {
    let mut values: Vec<f64> = pairs.iter().map(|pair| value(pair)).collect();
    values.sort_by(f64::total_cmp);
    (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0
}

/// Over what [`row`] gives for each server.
const HEAD: &str = "    req/s  server cpu us/req  generator";

fn row(pairs: &[&Pair]) -> String {
    let of = |side: fn(&Pair) -> &Part| {
        let median = |value: fn(&Part) -> f64| median(pairs, |pair| value(side(pair)));
        format!(
            "{:>9.0}  {:>17.1}  {:>8.0}%",
            median(Part::per_second),
            median(Part::cpu_micros),
            median(Part::generator_percent)
        )
    };
    format!(
        "{} | {} | {:>10.3} {:>5.3}",
        of(|pair| &pair.0),
        of(|pair| &pair.1),
        median(pairs, throughput_ratio),
        median(pairs, cpu_ratio)
    )
}

/// Whether issuing waits for no disk. Nothing is read for a token; what is written is its record in the audit log, and
/// once a second, however many there were, last uses and figures.
async fn check_disk(server: &Served, under_load: impl Iterator<Item = &Part>) -> Result<bool> {
    let (mut requests, mut wall, mut written, mut read) = (0.0, Duration::ZERO, 0.0, 0.0);
    for part in under_load {
        requests += part.requests();
        wall += part.wall;
        written += part.server.disk_written as f64;
        read += part.server.disk_read as f64;
    }
    let before = server.usage()?;
    let mut connection = Connections::open(server.address, Arc::clone(&server.request), 1).await?;
    let few = connection.run_at(TRICKLE_RATE, TRICKLE).await?;
    let trickle = (server.usage()? - before).disk_written as f64 / few.elapsed.as_secs_f64();

    let (per_request, per_second) = (written / requests, written / wall.as_secs_f64());
    let read = read / requests;
    println!(
        "disk under load: {per_request:.2} bytes written and {read:.2} read per request; {:.0} KiB written per second, \
         {:.0} at {TRICKLE_RATE} requests/s",
        per_second / 1024.0,
        trickle / 1024.0
    );
    if trickle <= 0.0 {
        println!("FAILED: not even last uses were written, so nothing was counted: is the target folder on a disk?");
        return Ok(false);
    }
    let spared = read < MAX_READ_PER_REQUEST && per_request < MAX_WRITTEN_PER_REQUEST;
    if !spared {
        println!(
            "FAILED: fewer than {MAX_READ_PER_REQUEST} byte read per request wanted, and than \
             {MAX_WRITTEN_PER_REQUEST} written"
        );
    }
    Ok(spared)
}
