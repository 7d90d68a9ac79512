//! The two ways to wait for the SDK, which runs on one tokio runtime for the process.
//!
//! A thread of ours that enters the interpreter while it ends brings the process down. So a result goes to asyncio through [`deliver`] alone,
//! and [`finish`], which the interpreter calls before it ends, shuts that door and waits for whoever is inside.

use crate::failure::Failure;
use pyo3::{IntoPyObjectExt, prelude::*};
use std::{
    future::Future,
    pin::pin,
    sync::{
        LazyLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Runtime, task::AbortHandle};

/// Ctrl-C is seen after so long at most.
const SIGNALS: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_millis(1);

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("the system gives the SDK its threads"));
/// Results that are on their way into the interpreter.
static INSIDE: AtomicUsize = AtomicUsize::new(0);
static SHUT: AtomicBool = AtomicBool::new(false);

/// Stops the work whose result nobody awaits any more; of finished work nothing is left to stop.
#[pyclass(frozen)]
struct Stop(AbortHandle);

#[pymethods]
impl Stop {
    fn __call__(&self, _promise: &Bound<'_, PyAny>) {
        self.0.abort();
    }
}

/// Waits in the calling thread, and lets the interpreter's other threads run meanwhile.
pub(crate) fn blocking<'py, T>(
    py: Python<'py>,
    future: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> PyResult<Bound<'py, PyAny>>
where
    T: for<'any> IntoPyObject<'any> + Send + 'static,
{
    let done: PyResult<T> = py.detach(|| {
        RUNTIME.block_on(async {
            let mut future = pin!(future);
            loop {
                match tokio::time::timeout(SIGNALS, future.as_mut()).await {
                    Ok(done) => return Ok(done?),
                    Err(_) => Python::attach(|py| py.check_signals())?,
                }
            }
        })
    });
    done?.into_bound_py_any(py)
}

/// A future of the running asyncio loop. Who cancels it stops what it waits for.
pub(crate) fn awaitable<'py, T>(
    py: Python<'py>,
    future: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> PyResult<Bound<'py, PyAny>>
where
    T: for<'any> IntoPyObject<'any> + Send + 'static,
{
    let event_loop = py.import("asyncio")?.call_method0("get_running_loop")?;
    let promise = event_loop.call_method0("create_future")?;
    let target = (event_loop.unbind(), promise.clone().unbind());
    let task = RUNTIME.spawn(async move {
        let done = future.await;
        // The interpreter's lock may be long in coming, and the SDK's threads have other work.
        tokio::task::spawn_blocking(move || deliver(target, done));
    });
    promise.call_method1("add_done_callback", (Stop(task.abort_handle()),))?;
    Ok(promise)
}

/// Called by the interpreter before it ends.
#[pyfunction]
pub(crate) fn finish(py: Python<'_>) {
    SHUT.store(true, Ordering::SeqCst);
    py.detach(|| {
        while INSIDE.load(Ordering::SeqCst) > 0 {
            std::thread::sleep(LOOK);
        }
    });
}

/// Hands a result to the loop's own thread.
fn deliver<T>((event_loop, promise): (Py<PyAny>, Py<PyAny>), done: Result<T, Failure>)
where
    T: for<'any> IntoPyObject<'any>,
{
    // In this order: `finish` shuts first and counts then, so that one of the two sees the other.
    INSIDE.fetch_add(1, Ordering::SeqCst);
    if !SHUT.load(Ordering::SeqCst) {
        Python::attach(|py| {
            let (value, error) = match done.map_err(PyErr::from).and_then(|value| value.into_py_any(py)) {
                Ok(value) => (value, py.None()),
                Err(error) => (py.None(), error.into_value(py).into_any()),
            };
            let settle = py.import("white_city.waiting").and_then(|module| module.getattr("settle"));
            let handed_over = settle.and_then(|settle| {
                event_loop.call_method1(py, "call_soon_threadsafe", (settle, promise, value, error))
            });
            // A loop that is closed has nobody who waits.
            drop(handed_over);
            drop(event_loop);
        });
    }
    INSIDE.fetch_sub(1, Ordering::SeqCst);
}
