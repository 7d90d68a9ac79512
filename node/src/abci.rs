//! CometBFT's calls (ABCI 2.0) as calls of the executor. This is the only file that knows ABCI types.

use crate::{
    NodeError,
    executor::{Executor, Proposal},
    socket::Server,
};
use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};
use tendermint_abci::Application;
use tendermint_proto::{
    google::protobuf::Timestamp,
    v0_38::abci::{
        ExecTxResult, Request, RequestCheckTx, RequestFinalizeBlock, RequestInfo, RequestInitChain,
        RequestPrepareProposal, RequestProcessProposal, RequestQuery, Response, ResponseCheckTx, ResponseCommit,
        ResponseFinalizeBlock, ResponseInfo, ResponseInitChain, ResponsePrepareProposal, ResponseProcessProposal,
        ResponseQuery, request, response, response_process_proposal::ProposalStatus,
    },
};
use tokio::{runtime::Handle, sync::Notify};
use wire::{Code, NetworkParameters};

/// Serves any ABCI application on a unix socket with [`crate::socket`].
///
/// # Errors
/// Those of binding the socket.
pub fn serve<A: Application>(path: &Path, application: A) -> io::Result<Server> {
    Server::start(path, move |request| dispatch(&application, request))
}

/// Serves the board. Once it has failed, every connection is closed instead of answered, at which CometBFT stops.
///
/// # Errors
/// Those of binding the socket.
pub fn serve_board(path: &Path, board: Board) -> io::Result<Server> {
    Server::start(path, move |request| dispatch(&board, request).filter(|_| !board.failure.is_set()))
}

/// The board as an ABCI application.
#[derive(Clone)]
pub struct Board {
    executor: Arc<Executor>,
    runtime: Handle,
    failure: Arc<Failure>,
}

/// The first thing that went wrong beyond repair, for whoever must stop the node. An ABCI answer cannot say it.
#[derive(Default)]
pub struct Failure {
    error: Mutex<Option<NodeError>>,
    set: std::sync::atomic::AtomicBool,
    notify: Notify,
}

impl Failure {
    /// Waits until something fails.
    pub async fn wait(&self) -> NodeError {
        loop {
            let notified = self.notify.notified();
            if let Some(error) = self.error.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return error;
            }
            notified.await;
        }
    }

    fn is_set(&self) -> bool {
        self.set.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn report(&self, error: NodeError) {
        tracing::error!(error = error.line(), "the board has failed");
        self.set.store(true, std::sync::atomic::Ordering::SeqCst);
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.notify.notify_one();
    }
}

impl Board {
    /// The application of `executor`; stores through `runtime`.
    pub fn new(executor: Arc<Executor>, runtime: Handle) -> Self {
        Self { executor, runtime, failure: Arc::default() }
    }

    /// Where failures are reported.
    pub fn failure(&self) -> Arc<Failure> {
        self.failure.clone()
    }

    /// The value, or an answer that nobody will get.
    fn or_fail<T: Default>(&self, result: Result<T, NodeError>) -> T {
        result.unwrap_or_else(|error| {
            self.failure.report(error);
            T::default()
        })
    }

    fn try_info(&self) -> Result<ResponseInfo, NodeError> {
        let at = self.executor.at()?;
        Ok(ResponseInfo {
            data: "white-city".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            app_version: 0,
            last_block_height: at.map_or(0, |at| signed(at.height)),
            last_block_app_hash: at.map_or_else(Default::default, |at| at.root.0.to_vec().into()),
        })
    }

    fn try_init_chain(&self, request: &RequestInitChain) -> Result<ResponseInitChain, NodeError> {
        let genesis: Result<NetworkParameters, _> = serde_json::from_slice(&request.app_state_bytes);
        let parameters = self.executor.parameters()?;
        if genesis.ok().as_ref() != Some(&parameters) || request.chain_id != parameters.chain.as_str() {
            return Err(NodeError::GenesisDiffers);
        }
        let app_hash = self.executor.root()?.0.to_vec().into();
        Ok(ResponseInitChain { app_hash, ..Default::default() })
    }

    fn try_finalize_block(&self, request: &RequestFinalizeBlock) -> Result<ResponseFinalizeBlock, NodeError> {
        let finalized = self.executor.finalize(&Proposal {
            id: wire::hash::TaggedHash::new("comet-block").bytes(&request.hash).finish(),
            height: u64::try_from(request.height).unwrap_or(0),
            time_ms: milliseconds(request.time.as_ref()),
            transactions: request.txs.iter().map(AsRef::as_ref).collect(),
        })?;
        let result = |code: &Code| ExecTxResult { code: number(*code), ..Default::default() };
        Ok(ResponseFinalizeBlock {
            tx_results: finalized.codes.iter().map(result).collect(),
            app_hash: finalized.root.0.to_vec().into(),
            ..Default::default()
        })
    }
}

impl Application for Board {
    fn info(&self, _: RequestInfo) -> ResponseInfo {
        self.or_fail(self.try_info())
    }

    fn init_chain(&self, request: RequestInitChain) -> ResponseInitChain {
        self.or_fail(self.try_init_chain(&request))
    }

    fn query(&self, _: RequestQuery) -> ResponseQuery {
        ResponseQuery { code: number(Code::NotFound), log: "ask the REST gateway".to_owned(), ..Default::default() }
    }

    fn check_tx(&self, request: RequestCheckTx) -> ResponseCheckTx {
        let code = self.executor.check(&request.tx, now_ms()).err().unwrap_or(Code::Accepted);
        ResponseCheckTx { code: number(code), log: code.as_str().to_owned(), ..Default::default() }
    }

    fn prepare_proposal(&self, request: RequestPrepareProposal) -> ResponsePrepareProposal {
        let max_bytes = usize::try_from(request.max_tx_bytes).unwrap_or(0);
        ResponsePrepareProposal { txs: self.executor.prepare(request.txs, max_bytes) }
    }

    fn process_proposal(&self, request: RequestProcessProposal) -> ResponseProcessProposal {
        let accepted = request.txs.iter().all(|transaction| self.executor.process(transaction));
        let status = if accepted { ProposalStatus::Accept } else { ProposalStatus::Reject };
        ResponseProcessProposal { status: status.into() }
    }

    fn finalize_block(&self, request: RequestFinalizeBlock) -> ResponseFinalizeBlock {
        self.or_fail(self.try_finalize_block(&request))
    }

    fn commit(&self) -> ResponseCommit {
        self.or_fail(self.runtime.block_on(self.executor.commit()));
        ResponseCommit::default()
    }
}

/// The call that a request stands for. A request that is none closes the connection.
fn dispatch<A: Application>(application: &A, request: Request) -> Option<Response> {
    use request::Value as Q;
    use response::Value as R;
    let answer = match request.value? {
        Q::Echo(request) => R::Echo(application.echo(request)),
        Q::Flush(_) => R::Flush(application.flush()),
        Q::Info(request) => R::Info(application.info(request)),
        Q::InitChain(request) => R::InitChain(application.init_chain(request)),
        Q::Query(request) => R::Query(application.query(request)),
        Q::CheckTx(request) => R::CheckTx(application.check_tx(request)),
        Q::Commit(_) => R::Commit(application.commit()),
        Q::ListSnapshots(_) => R::ListSnapshots(application.list_snapshots()),
        Q::OfferSnapshot(request) => R::OfferSnapshot(application.offer_snapshot(request)),
        Q::LoadSnapshotChunk(request) => R::LoadSnapshotChunk(application.load_snapshot_chunk(request)),
        Q::ApplySnapshotChunk(request) => R::ApplySnapshotChunk(application.apply_snapshot_chunk(request)),
        Q::PrepareProposal(request) => R::PrepareProposal(application.prepare_proposal(request)),
        Q::ProcessProposal(request) => R::ProcessProposal(application.process_proposal(request)),
        Q::ExtendVote(request) => R::ExtendVote(application.extend_vote(request)),
        Q::VerifyVoteExtension(request) => R::VerifyVoteExtension(application.verify_vote_extension(request)),
        Q::FinalizeBlock(request) => R::FinalizeBlock(application.finalize_block(request)),
    };
    Some(Response { value: Some(answer) })
}

fn number(code: Code) -> u32 {
    u32::from(code as u8)
}

fn signed(height: u64) -> i64 {
    i64::try_from(height).unwrap_or(i64::MAX)
}

/// Block time in milliseconds. CometBFT's is never before 1970.
fn milliseconds(time: Option<&Timestamp>) -> u64 {
    let Some(Timestamp { seconds, nanos }) = time else { return 0 };
    let whole = u64::try_from(*seconds).unwrap_or(0).saturating_mul(1000);
    whole.saturating_add(u64::try_from(nanos / 1_000_000).unwrap_or(0))
}

/// This node's own clock.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
