//! The native half of the Python package `white_city`: client-sdk's client and sessions, once blocking and once for asyncio.
//!
//! Waiting is done without the interpreter's lock, and is interrupted by signals (blocking) or by cancelling the task (asyncio).

mod class;
mod convert;
mod failure;
mod identity;
mod options;
mod reading;
mod wait;

use class::{AsyncClient, AsyncSession, Client, Session};
use identity::Identity;
use pyo3::prelude::*;
use reading::Reading;

/// What `white_city` and `white_city.aio` are made of; not to be imported by itself.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Identity>()?;
    module.add_class::<Client>()?;
    module.add_class::<AsyncClient>()?;
    module.add_class::<Session>()?;
    module.add_class::<AsyncSession>()?;
    module.add_class::<Reading>()?;
    let finish = wrap_pyfunction!(wait::finish, module)?;
    module.py().import("atexit")?.call_method1("register", (finish,))?;
    Ok(())
}
