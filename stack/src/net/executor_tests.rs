//! Tests of the executor by itself.

use super::*;
use std::future::poll_fn;
use std::sync::atomic::AtomicU32;

fn executor() -> (Arc<Executor>, Arc<AtomicU32>) {
    let alarms = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&alarms);
    let executor = Executor::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    (executor, alarms)
}

fn run_all(executor: &Executor) -> Vec<u64> {
    std::iter::from_fn(|| executor.run_one()).map(|tag| tag.number).collect()
}

/// The result of a handle whose task has ended.
fn result<T>(handle: JoinHandle<T>) -> Result<T, JoinError> {
    let mut handle = std::pin::pin!(handle);
    match handle.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the task has not ended"),
    }
}

#[test]
fn tasks_run_in_the_order_of_their_wake_ups() {
    let (executor, alarms) = executor();
    let handles: Vec<_> = (0..3)
        .map(|number| {
            executor.spawn(7, async move {
                yield_now().await;
                number
            })
        })
        .collect();
    assert_eq!(run_all(&executor), [0, 1, 2, 0, 1, 2]);
    assert_eq!(alarms.load(Ordering::SeqCst), 6, "three spawns, three wake-ups");
    assert_eq!(handles.into_iter().map(|handle| result(handle).unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(executor.lock().all.is_empty());
}

#[test]
fn a_task_that_is_woken_twice_runs_once() {
    let (executor, _) = executor();
    let waker = Arc::new(Mutex::new(None::<Waker>));
    let seen = Arc::clone(&waker);
    executor.spawn(
        0,
        poll_fn(move |cx| -> Poll<()> {
            *seen.lock().unwrap() = Some(cx.waker().clone());
            Poll::Pending
        }),
    );
    assert_eq!(run_all(&executor), [0]);
    let waker = waker.lock().unwrap().take().unwrap();
    waker.wake_by_ref();
    waker.wake_by_ref();
    assert_eq!(run_all(&executor), [0]);
}

#[test]
fn a_handle_wakes_the_task_that_awaits_it() {
    let (executor, _) = executor();
    let inner = executor.spawn(0, async {
        yield_now().await;
        21
    });
    let outer = executor.spawn(0, async move { inner.await.map(|n| n * 2) });
    assert_eq!(run_all(&executor), [0, 1, 0, 1]);
    assert_eq!(result(outer).unwrap().unwrap(), 42);
}

#[test]
fn an_aborted_task_is_dropped_before_its_next_poll() {
    struct Dropped(Arc<AtomicBool>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let (executor, _) = executor();
    let dropped = Arc::new(AtomicBool::new(false));
    let guard = Dropped(Arc::clone(&dropped));
    let handle = executor.spawn(0, async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    });
    run_all(&executor);
    assert!(!handle.is_finished() && !dropped.load(Ordering::SeqCst));
    handle.abort();
    run_all(&executor);
    assert!(handle.is_finished() && dropped.load(Ordering::SeqCst));
    assert!(result(handle).unwrap_err().is_aborted());
}

#[test]
fn a_task_may_abort_itself() {
    let (executor, _) = executor();
    let own = Arc::new(Mutex::new(None::<JoinHandle<()>>));
    let slot = Arc::clone(&own);
    let handle = executor.spawn(0, async move {
        slot.lock().unwrap().as_ref().unwrap().abort();
        std::future::pending::<()>().await;
    });
    *own.lock().unwrap() = Some(handle);
    run_all(&executor);
    assert!(result(own.lock().unwrap().take().unwrap()).unwrap_err().is_aborted());
}

#[test]
fn a_panic_goes_to_the_handle_and_else_to_the_world() {
    let (executor, _) = executor();
    let held = executor.spawn(0, async { panic!("seen by its handle") });
    drop(executor.spawn(0, async { panic!("seen by the world") }));
    let let_go = executor.spawn(0, async { panic!("let go later") });
    let fine = executor.spawn(0, async { 1 });
    run_all(&executor);
    let error = result::<()>(held).unwrap_err();
    assert_eq!(error.to_string(), "the task panicked: seen by its handle");
    assert_eq!(executor.take_panic().unwrap().to_string(), "the task panicked: seen by the world");
    assert!(executor.take_panic().is_none());
    drop(let_go);
    assert!(executor.take_panic().is_some_and(|error| error.into_panic().is_some()));
    assert_eq!(result(fine).unwrap(), 1, "the others go on");
}

#[test]
fn dropping_a_machines_tasks_leaves_the_others() {
    let (executor, _) = executor();
    let one = executor.spawn(1, std::future::pending::<()>());
    let two = executor.spawn(2, std::future::pending::<()>());
    run_all(&executor);
    executor.drop_tasks(Some(1));
    assert!(result(one).unwrap_err().is_aborted());
    assert!(!two.is_finished());
    executor.drop_tasks(None);
    assert!(two.is_finished() && executor.lock().all.is_empty());
}

#[test]
fn a_host_and_its_futures_can_go_to_other_threads() {
    fn sendable<T: Send>(_: T) {}
    fn shareable<T: Clone + Send + Sync>() {}
    shareable::<crate::net::Host>();
    #[allow(unreachable_code, clippy::diverging_sub_expression)]
    fn app(host: crate::net::Host) {
        sendable(async move {
            let address = std::net::SocketAddr::from(([127, 0, 0, 1], 80));
            let (stream, _) = host.tcp_listen(address)?.accept().await?;
            stream.write_all(b"hello").await?;
            let mut buffer = [0; 8];
            host.timeout(crate::Duration::ZERO, stream.read(&mut buffer)).await??;
            host.udp_bind(address)?.recv_from(&mut buffer).await?;
            host.ping(address.ip(), b"", crate::Duration::ZERO).await?;
            host.tcp_connect(address).await.map(drop)
        });
    }
    let _ = app;
}
