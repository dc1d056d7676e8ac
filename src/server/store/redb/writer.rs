//! The one thread that writes. What waits is written in one transaction, and each caller is answered after the durable
//! commit.

use std::path::PathBuf;
use std::sync::PoisonError;

use redb::WriteTransaction;
use tokio::sync::{mpsc, oneshot};

use super::{Shared, StoreError, answering_panics, builder, poisoned, reopening, unavailable};

/// The most changes that share a transaction.
const MAX_GROUP: usize = 256;
/// The most changes that wait; more wait to be taken in.
const QUEUE: usize = 1024;

/// A change that waits to be written. It looks before it writes: where it ends in [`StoreError::Conflict`] it has
/// written nothing, so that its neighbours in the transaction are not touched.
trait Job: Send {
    /// Makes the change. The error is one that spoils the whole transaction.
    fn run(&mut self, transaction: &WriteTransaction) -> Result<(), StoreError>;
    /// Answers the caller, once it is known what became of the transaction.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct TypedJob<F, T> {
    work: Option<F>,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Job for TypedJob<F, T>
where
    F: FnOnce(&WriteTransaction) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn run(&mut self, transaction: &WriteTransaction) -> Result<(), StoreError> {
        let Some(work) = self.work.take() else { return Ok(()) };
        let outcome = answering_panics(|| work(transaction))
            .unwrap_or_else(|| Err(StoreError::Corrupt("a page could not be read".to_owned())));
        let spoilt = match &outcome {
            Ok(_) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error.clone()),
        };
        self.outcome = Some(outcome);
        spoilt
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let answer = match (self.outcome, committed) {
            (Some(Err(own)), _) => Err(own),
            (_, Err(shared)) => Err(shared),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(StoreError::Unavailable("the change was not made".to_owned())),
        };
        // A caller that has gone does not undo the change.
        drop(self.reply.send(answer));
    }
}

/// The way to the writing thread, which ends with it.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl std::fmt::Debug for dyn Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

impl Writer {
    pub(super) fn start(database: Shared, path: PathBuf) -> std::io::Result<Self> {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("mintage-store".to_owned())
            .spawn(move || write_until_closed(&database, &path, waiting))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Makes a change, and answers when it is durable.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let closed = || StoreError::Unavailable("the store is closing".to_owned());
        let (reply, answer) = oneshot::channel();
        let job = TypedJob { work: Some(work), outcome: None, reply };
        let jobs = self.jobs.as_ref().ok_or_else(closed)?;
        jobs.send(Box::new(job)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // What waits is still written; then the thread ends.
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn write_until_closed(database: &Shared, path: &std::path::Path, mut waiting: mpsc::Receiver<Box<dyn Job>>) {
    let mut group: Vec<Box<dyn Job>> = Vec::new();
    while waiting.blocking_recv_many(&mut group, MAX_GROUP) > 0 {
        let committed = write_group(database, &mut group);
        if let Err(error) = &committed {
            metrics::counter!("mintage_store_commit_failures_total").increment(1);
            tracing::error!(%error, waiting = group.len(), "the store could not be written");
        }
        for job in group.drain(..) {
            job.answer(committed.clone());
        }
        if committed.is_err() {
            reopen(database, path);
        }
    }
}

fn write_group(database: &Shared, group: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    let database = database.read().map_err(|_| poisoned())?;
    let database = database.as_ref().ok_or_else(reopening)?;
    answering_panics(|| {
        let mut transaction = database.begin_write().map_err(unavailable)?;
        transaction.set_durability(redb::Durability::Immediate).map_err(unavailable)?;
        // A start after a crash must not have to walk the whole file.
        transaction.set_quick_repair(true);
        for job in group.iter_mut() {
            if let Err(error) = job.run(&transaction) {
                drop(transaction.abort());
                return Err(error);
            }
        }
        transaction.commit().map_err(unavailable)
    })
    .unwrap_or_else(|| Err(StoreError::Corrupt("a page could not be written".to_owned())))
}

/// After a failed write redb refuses all others until the file is opened again; so a disk that was full and has room
/// again needs no restart.
fn reopen(database: &Shared, path: &std::path::Path) {
    let mut slot = database.write().unwrap_or_else(PoisonError::into_inner);
    *slot = None;
    match answering_panics(|| builder().open(path)) {
        Some(Ok(opened)) => *slot = Some(opened),
        Some(Err(error)) => {
            tracing::error!(%error, "the store could not be opened again; it is tried with the next change")
        }
        None => tracing::error!("the store could not be opened again; it is tried with the next change"),
    }
}
