//! Runs spawned tasks one after the other, first woken first run; which is all that both worlds need.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};

/// A queue of tasks that are ready to run, and a register of all that are not finished.
///
/// The order depends on nothing but the order of wake-ups, so a simulated world runs its tasks the same way each
/// time. Tasks are polled by whoever calls [`Executor::run_one`], without any lock but their own.
pub(crate) struct Executor {
    tasks: Mutex<Tasks>,
    /// Called when a task was made ready, so that a sleeping run loop gets up.
    alarm: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Tasks {
    ready: VecDeque<Arc<Task>>,
    /// By number, so that dropping all of them has an order too.
    all: BTreeMap<u64, Arc<Task>>,
    next: u64,
    /// The first panic that no handle took.
    panic: Option<JoinError>,
}

/// Names a task for messages: its number and the machine that spawned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskTag {
    pub(crate) number: u64,
    pub(crate) machine: u32,
}

type BoxedTask = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Task {
    tag: TaskTag,
    executor: Weak<Executor>,
    /// Whether it is in the ready queue, where it stands once however often it is woken.
    queued: AtomicBool,
    /// Set by [`JoinHandle::abort`]; obeyed before the next poll.
    aborted: AtomicBool,
    future: Mutex<Option<BoxedTask>>,
    join: Arc<dyn Fail>,
}

impl Executor {
    pub(crate) fn new(alarm: impl Fn() + Send + Sync + 'static) -> Arc<Executor> {
        Arc::new(Executor { tasks: Mutex::default(), alarm: Box::new(alarm) })
    }

    /// Adds a task of a machine, ready to run.
    pub(crate) fn spawn<F>(self: &Arc<Executor>, machine: u32, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let join = Arc::new(Join { state: Mutex::default(), executor: Arc::downgrade(self) });
        let done = Arc::clone(&join);
        let body = async move { done.finish(Ok(future.await)) };
        let task = {
            let mut tasks = self.lock();
            let tag = TaskTag { number: tasks.next, machine };
            tasks.next += 1;
            let task = Arc::new(Task {
                tag,
                executor: Arc::downgrade(self),
                queued: AtomicBool::new(true),
                aborted: AtomicBool::new(false),
                future: Mutex::new(Some(Box::pin(body))),
                join: Arc::clone(&join) as Arc<dyn Fail>,
            });
            tasks.all.insert(tag.number, Arc::clone(&task));
            tasks.ready.push_back(Arc::clone(&task));
            task
        };
        (self.alarm)();
        JoinHandle { join, task: Arc::downgrade(&task) }
    }

    /// Polls the task that has been ready for longest; none when none is ready.
    pub(crate) fn run_one(&self) -> Option<TaskTag> {
        let task = self.lock().ready.pop_front()?;
        // Cleared before the poll: a wake-up during the poll queues the task again.
        task.queued.store(false, Ordering::SeqCst);
        if task.aborted.load(Ordering::SeqCst) {
            self.discard(&task);
        } else {
            self.poll(&task);
        }
        Some(task.tag)
    }

    /// Whether a task is ready.
    pub(crate) fn is_ready(&self) -> bool {
        !self.lock().ready.is_empty()
    }

    /// Drops the tasks of a machine, or all; each handle says that its task was aborted. A task that is being polled
    /// right now is dropped when it returns.
    pub(crate) fn drop_tasks(&self, machine: Option<u32>) {
        let chosen: Vec<Arc<Task>> = {
            let tasks = self.lock();
            let of_machine = |task: &&Arc<Task>| machine.is_none_or(|machine| task.tag.machine == machine);
            tasks.all.values().filter(of_machine).cloned().collect()
        };
        for task in chosen {
            task.aborted.store(true, Ordering::SeqCst);
            if task.future.try_lock().is_ok() {
                self.discard(&task);
            }
        }
    }

    /// Takes the first panic of a task whose handle nobody held, or that was let go without a look.
    pub(crate) fn take_panic(&self) -> Option<JoinError> {
        self.lock().panic.take()
    }

    fn poll(&self, task: &Arc<Task>) {
        let mut slot = lock(&task.future);
        let Some(future) = slot.as_mut() else { return };
        let waker = Waker::from(Arc::clone(task));
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker)))) {
            Ok(Poll::Pending) if !task.aborted.load(Ordering::SeqCst) => {}
            Ok(Poll::Pending) => {
                drop(slot);
                self.discard(task);
            }
            Ok(Poll::Ready(())) => {
                drop(slot);
                self.forget(task);
            }
            Err(payload) => {
                drop(slot);
                self.forget(task);
                task.join.fail(JoinError::panicked(payload));
            }
        }
    }

    /// Ends a task that was aborted.
    fn discard(&self, task: &Arc<Task>) {
        if self.forget(task) {
            task.join.fail(JoinError { repr: Repr::Aborted });
        }
    }

    /// Strikes a task off the register and drops its future, with no lock held: the drop may close sockets and
    /// wake others. False when it was off already.
    fn forget(&self, task: &Arc<Task>) -> bool {
        let known = self.lock().all.remove(&task.tag.number).is_some();
        let future = lock(&task.future).take();
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(future))) {
            self.lock().panic.get_or_insert(JoinError::panicked(payload));
        }
        known
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
        lock(&self.tasks)
    }
}

impl Wake for Task {
    fn wake(self: Arc<Task>) {
        Task::wake_by_ref(&self);
    }

    fn wake_by_ref(self: &Arc<Task>) {
        if self.queued.swap(true, Ordering::SeqCst) {
            return;
        }
        if let Some(executor) = self.executor.upgrade() {
            executor.lock().ready.push_back(Arc::clone(self));
            (executor.alarm)();
        }
    }
}

/// A spawned task's end, to be awaited. Dropping the handle lets the task go on by itself.
///
/// A panic of a task whose handle was dropped unseen goes to whoever runs the simulated world; in `tap` it is logged.
pub struct JoinHandle<T> {
    join: Arc<Join<T>>,
    task: Weak<Task>,
}

struct Join<T> {
    state: Mutex<JoinState<T>>,
    executor: Weak<Executor>,
}

struct JoinState<T> {
    result: Option<Result<T, JoinError>>,
    finished: bool,
    detached: bool,
    waker: Option<Waker>,
}

impl<T> Default for JoinState<T> {
    fn default() -> JoinState<T> {
        JoinState { result: None, finished: false, detached: false, waker: None }
    }
}

impl<T> Join<T> {
    fn finish(&self, result: Result<T, JoinError>) {
        let waker = {
            let mut state = lock(&self.state);
            state.finished = true;
            match result {
                Err(error) if state.detached => {
                    drop(state);
                    return self.pass_on(error);
                }
                _ if state.detached => return,
                result => state.result = Some(result),
            }
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Leaves a panic that no handle will show with the executor.
    fn pass_on(&self, error: JoinError) {
        if error.is_panic()
            && let Some(executor) = self.executor.upgrade()
        {
            executor.lock().panic.get_or_insert(error);
        }
    }
}

/// How the executor tells a handle of any type that its task came to no good end.
trait Fail: Send + Sync {
    fn fail(&self, error: JoinError);
}

impl<T: Send> Fail for Join<T> {
    fn fail(&self, error: JoinError) {
        self.finish(Err(error));
    }
}

impl<T> JoinHandle<T> {
    /// Stops the task: it is dropped before it would be polled again. A task that is finished stays finished.
    pub fn abort(&self) {
        if let Some(task) = self.task.upgrade() {
            task.aborted.store(true, Ordering::SeqCst);
            task.wake_by_ref();
        }
    }

    /// Whether the task has ended, one way or another.
    pub fn is_finished(&self) -> bool {
        lock(&self.join.state).finished
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// Panics when it is polled again after it gave the result.
    fn poll(self: Pin<&mut JoinHandle<T>>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = lock(&self.join.state);
        if let Some(result) = state.result.take() {
            return Poll::Ready(result);
        }
        assert!(!state.finished, "a JoinHandle was polled after it had given its result");
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.join.state);
        state.detached = true;
        if let Some(Err(error)) = state.result.take() {
            drop(state);
            self.join.pass_on(error);
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

/// Why a task gave no result.
pub struct JoinError {
    repr: Repr,
}

enum Repr {
    Aborted,
    /// In a lock of its own only because a payload need not be `Sync`, and errors should be.
    Panicked(Mutex<Box<dyn Any + Send>>),
}

impl JoinError {
    fn panicked(payload: Box<dyn Any + Send>) -> JoinError {
        JoinError { repr: Repr::Panicked(Mutex::new(payload)) }
    }

    /// Whether the task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self.repr, Repr::Panicked(_))
    }

    /// Whether the task was aborted, by its handle or with its machine.
    pub fn is_aborted(&self) -> bool {
        matches!(self.repr, Repr::Aborted)
    }

    /// What the task panicked with, for [`std::panic::resume_unwind`]; none if it was aborted.
    pub fn into_panic(self) -> Option<Box<dyn Any + Send>> {
        match self.repr {
            Repr::Aborted => None,
            Repr::Panicked(payload) => Some(payload.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Repr::Panicked(payload) = &self.repr else { return f.write_str("the task was aborted") };
        let payload = lock(payload);
        let text = payload.downcast_ref::<String>().map(String::as_str);
        match text.or_else(|| payload.downcast_ref::<&str>().copied()) {
            Some(text) => write!(f, "the task panicked: {text}"),
            None => f.write_str("the task panicked"),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for JoinError {}

/// Lets other tasks and the run loop have their turn; on a TAP, what the task has written leaves then.
///
/// A [`super::Host::sleep`] whose time has come by its first poll gives no turn to anybody.
pub async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Locks of this file guard plain data that is whole at any time, so a panic elsewhere doesn't spoil it.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "executor_tests.rs"]
mod tests;
