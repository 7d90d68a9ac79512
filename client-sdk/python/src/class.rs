//! Clients and sessions: the same methods twice, for two ways to wait.

use crate::{
    convert::{self, Document},
    failure::Failure,
    identity::Identity,
    options::{duration, options},
    reading::Reading,
    wait,
};
use client_sdk::network;
use pyo3::prelude::*;
use std::{collections::BTreeMap, num::NonZeroUsize, path::PathBuf, sync::Arc};
use wire::MailboxKind;

type Held = Arc<client_sdk::Session>;

/// A class takes all its methods from one block, so that what both share is written out by a macro.
macro_rules! classes {
    ($client:ident, $session:ident, $module:literal, $wait:path) => {
        /// A connection to a cluster.
        #[pyclass(frozen, module = $module)]
        pub(crate) struct $client {
            inner: client_sdk::Client,
        }

        #[pymethods]
        impl $client {
            /// A client of a network file's cluster. Opens no connection yet.
            #[new]
            #[pyo3(signature = (network, *, patience = None))]
            fn new(network: &Bound<'_, PyAny>, patience: Option<f64>) -> PyResult<Self> {
                let inner = client_sdk::Client::new(convert::network(network)?).map_err(Failure::from)?;
                Ok(Self {
                    inner: match patience.map(duration).transpose()? {
                        Some(patience) => inner.with_patience(patience),
                        None => inner,
                    },
                })
            }

            /// The chain's id.
            #[getter]
            fn chain(&self) -> String {
                self.inner.network().chain.to_string()
            }

            /// The network file's eight words, by which two people compare it.
            #[getter]
            fn words(&self) -> String {
                network::words(self.inner.network())
            }

            /// The greatest height that was found certified; 0 before the first.
            #[getter]
            fn height(&self) -> u64 {
                self.inner.height()
            }

            /// Creates a session and returns its id when it is proved to be on the board.
            fn create<'py>(
                &self,
                py: Python<'py>,
                creator: &Bound<'py, Identity>,
                specification: &Bound<'py, PyAny>,
            ) -> PyResult<Bound<'py, PyAny>> {
                let (client, creator) = (self.inner.clone(), creator.get().inner.clone());
                let specification = convert::specification(specification)?;
                $wait(py, async move { Ok(client.create(&creator, specification).await?.to_string()) })
            }

            /// The invitation to a session of this network.
            fn invite(&self, session: &Bound<'_, PyAny>) -> PyResult<Document> {
                Ok(Document::of(&self.inner.invite(convert::session(&self.inner, session)?)))
            }

            /// The id of an invitation's session, if that is for this network.
            fn accept(&self, invitation: &Bound<'_, PyAny>) -> PyResult<String> {
                Ok(convert::invitation(&self.inner, invitation)?.to_string())
            }

            /// A session's certified record.
            fn session<'py>(&self, py: Python<'py>, session: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                let (client, id) = (self.inner.clone(), convert::session(&self.inner, session)?);
                $wait(py, async move { Ok(Document::of(&client.session(&id).await?)) })
            }

            fn __repr__(&self) -> String {
                format!("<Client of {}>", self.inner.network().chain)
            }
        }

        /// One party in one session.
        #[pyclass(frozen, module = $module)]
        pub(crate) struct $session {
            inner: Held,
        }

        #[pymethods]
        impl $session {
            /// Takes the identity's seat and makes the channels with all parties. In an open session, registers and solves first.
            #[staticmethod]
            #[pyo3(signature = (client, identity, session, *, wait = None, state = None, threads = None, even_if_slow = false, keep_keys = false))]
            #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
            fn join<'py>(
                py: Python<'py>,
                client: &Bound<'py, $client>,
                identity: &Bound<'py, Identity>,
                session: &Bound<'py, PyAny>,
                wait: Option<f64>,
                state: Option<PathBuf>,
                threads: Option<NonZeroUsize>,
                even_if_slow: bool,
                keep_keys: bool,
            ) -> PyResult<Bound<'py, PyAny>> {
                let options = options(wait, state, threads, even_if_slow, keep_keys)?;
                let (client, identity) = (client.get().inner.clone(), identity.get().inner.clone());
                let id = convert::session(&client, session)?;
                $wait(py, async move {
                    let inner = client_sdk::Session::join(&client, &identity, &id, options).await?;
                    Ok(Self { inner: Arc::new(inner) })
                })
            }

            /// Takes the identity's seat without a handshake: enough to read, to broadcast and to end, not for private messages.
            #[staticmethod]
            #[pyo3(signature = (client, identity, session, *, wait = None))]
            fn attach<'py>(
                py: Python<'py>,
                client: &Bound<'py, $client>,
                identity: &Bound<'py, Identity>,
                session: &Bound<'py, PyAny>,
                wait: Option<f64>,
            ) -> PyResult<Bound<'py, PyAny>> {
                let options = options(wait, None, None, false, false)?;
                let (client, identity) = (client.get().inner.clone(), identity.get().inner.clone());
                let id = convert::session(&client, session)?;
                $wait(py, async move {
                    let inner = client_sdk::Session::attach(&client, &identity, &id, options).await?;
                    Ok(Self { inner: Arc::new(inner) })
                })
            }

            /// Wipes what this party keeps for a session. True if there was something.
            #[staticmethod]
            #[pyo3(signature = (client, identity, session, *, state = None))]
            fn forget(
                client: &Bound<'_, $client>,
                identity: &Bound<'_, Identity>,
                session: &Bound<'_, PyAny>,
                state: Option<PathBuf>,
            ) -> PyResult<bool> {
                let (client, options) = (&client.get().inner, options(None, state, None, false, false)?);
                let id = convert::session(client, session)?;
                Ok(client_sdk::Session::forget(client, &identity.get().inner, &id, &options).map_err(Failure::from)?)
            }

            /// The session's id in hex.
            #[getter]
            fn id(&self) -> String {
                self.inner.id().to_string()
            }

            /// This party's index, from 0.
            #[getter]
            fn index(&self) -> u16 {
                self.inner.seat().index
            }

            /// n: the number of parties on the list.
            #[getter]
            fn parties(&self) -> u16 {
                self.inner.seat().parties
            }

            /// Indices of the parties that take no part, as of joining.
            #[getter]
            fn absent(&self) -> Vec<u16> {
                self.inner.absent().to_vec()
            }

            /// The parties' public keys in hex, in index order.
            #[getter]
            fn keys(&self) -> Vec<String> {
                self.inner.keys().iter().map(ToString::to_string).collect()
            }

            /// The session's specification.
            #[getter]
            fn specification(&self) -> Document {
                Document::of(self.inner.spec())
            }

            /// Writes `data` for all parties to read. Returns when it is on the board.
            fn broadcast<'py>(&self, py: Python<'py>, round: u32, data: Vec<u8>) -> PyResult<Bound<'py, PyAny>> {
                let session = Arc::clone(&self.inner);
                $wait(py, async move { Ok(session.broadcast(round, data).await?) })
            }

            /// Writes this party's private messages of a round, all of them, by recipient. Returns when they are on the board.
            fn send_private<'py>(
                &self,
                py: Python<'py>,
                round: u32,
                messages: BTreeMap<u16, Vec<u8>>,
            ) -> PyResult<Bound<'py, PyAny>> {
                let session = Arc::clone(&self.inner);
                $wait(py, async move { Ok(session.send_private(round, &messages).await?) })
            }

            /// Waits for the first `count` entries of a mailbox; without `count` for those of all that take part.
            #[pyo3(signature = (kind, round, count = None))]
            fn read<'py>(
                &self,
                py: Python<'py>,
                kind: &str,
                round: u32,
                count: Option<u16>,
            ) -> PyResult<Bound<'py, PyAny>> {
                let (session, kind) = (Arc::clone(&self.inner), mailbox_kind(kind)?);
                let count = count.unwrap_or_else(|| all(&session));
                $wait(py, async move { Ok(Reading { inner: session.read(kind, round, count).await? }) })
            }

            /// What a mailbox holds now.
            fn read_available<'py>(&self, py: Python<'py>, kind: &str, round: u32) -> PyResult<Bound<'py, PyAny>> {
                let (session, kind) = (Arc::clone(&self.inner), mailbox_kind(kind)?);
                $wait(py, async move { Ok(Reading { inner: session.read_available(kind, round).await? }) })
            }

            /// The session's record now.
            fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                let session = Arc::clone(&self.inner);
                $wait(py, async move { Ok(Document::of(&session.record().await?)) })
            }

            /// Says that this party needs the session no more. t + 1 such votes end it.
            fn terminate<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                let session = Arc::clone(&self.inner);
                $wait(py, async move { Ok(session.terminate().await?) })
            }

            /// Gives up. The specification's abort quorum of such votes ends the session.
            fn abort<'py>(&self, py: Python<'py>, reason: String) -> PyResult<Bound<'py, PyAny>> {
                let session = Arc::clone(&self.inner);
                $wait(py, async move { Ok(session.abort(&reason).await?) })
            }

            /// Waits for the session's end.
            fn ended<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                let session = Arc::clone(&self.inner);
                $wait(py, async move { Ok(Document::of(&session.ended().await?)) })
            }

            /// Waits for the end, says that this party has read everything, and forgets the channels' keys.
            fn acknowledge<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                let session = Arc::clone(&self.inner);
                $wait(py, async move { Ok(session.acknowledge().await?) })
            }

            /// Terminates, waits until the session has ended, and acknowledges that.
            fn leave<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                let session = Arc::clone(&self.inner);
                $wait(py, async move {
                    session.terminate().await?;
                    let end = session.ended().await?;
                    session.acknowledge().await?;
                    Ok(Document::of(&end))
                })
            }

            fn __repr__(&self) -> String {
                let seat = self.inner.seat();
                format!("<Session {}, party {} of {}>", seat.session, seat.index, seat.parties)
            }
        }
    };
}

classes!(Client, Session, "white_city", wait::blocking);
classes!(AsyncClient, AsyncSession, "white_city.aio", wait::awaitable);

/// How many entries a mailbox comes to have if all that take part write.
fn all(session: &client_sdk::Session) -> u16 {
    session.seat().parties.saturating_sub(u16::try_from(session.absent().len()).unwrap_or(u16::MAX))
}

fn mailbox_kind(kind: &str) -> Result<MailboxKind, Failure> {
    kind.parse().map_err(|_| Failure::Argument(format!("{kind:?} is no mailbox: 'broadcast', 'private' or 'keying'")))
}
