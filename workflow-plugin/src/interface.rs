//! The interface between host and package: nine methods by position, and the channel back.

use fidius::PluginError;
use serde_bytes::ByteBuf;

/// The interface version of this release. Version 1 had the first four methods.
pub const INTERFACE_VERSION: u32 = 2;

/// A request that every method of version 2 answers with its own name, whatever its reply is otherwise: a probe
/// asks each position who it is before anything is believed.
pub const NAME_REQUEST: &[u8] = b"\0longshore: who are you?";

/// The nine methods. A method's number is its position in the vtable; this enum is its only owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Method {
    /// Workflows and tasks.
    GetTaskMetadata = 0,
    /// Starts, cancels or resumes an attempt.
    ExecuteTask = 1,
    /// Reactor-bound graphs.
    GetGraphMetadata = 2,
    /// Calls a reactor-bound graph.
    ExecuteGraph = 3,
    /// Reactors and their accumulators.
    GetReactorMetadata = 4,
    /// Cron and poll triggers.
    GetTriggerMetadata = 5,
    /// Polls a trigger.
    InvokeTriggerPoll = 6,
    /// Graphs that tasks call.
    GetTriggerlessGraphMetadata = 7,
    /// Calls a trigger-less graph.
    InvokeTriggerlessGraph = 8,
}

impl Method {
    /// All methods, by position.
    pub const ALL: [Self; 9] = [
        Self::GetTaskMetadata,
        Self::ExecuteTask,
        Self::GetGraphMetadata,
        Self::ExecuteGraph,
        Self::GetReactorMetadata,
        Self::GetTriggerMetadata,
        Self::InvokeTriggerPoll,
        Self::GetTriggerlessGraphMetadata,
        Self::InvokeTriggerlessGraph,
    ];

    /// The position in the vtable.
    pub const fn position(self) -> usize {
        self as usize
    }

    /// The method's name in the trait.
    pub const fn name(self) -> &'static str {
        match self {
            Self::GetTaskMetadata => "get_task_metadata",
            Self::ExecuteTask => "execute_task",
            Self::GetGraphMetadata => "get_graph_metadata",
            Self::ExecuteGraph => "execute_graph",
            Self::GetReactorMetadata => "get_reactor_metadata",
            Self::GetTriggerMetadata => "get_trigger_metadata",
            Self::InvokeTriggerPoll => "invoke_trigger_poll",
            Self::GetTriggerlessGraphMetadata => "get_triggerless_graph_metadata",
            Self::InvokeTriggerlessGraph => "invoke_triggerless_graph",
        }
    }

    /// The interface version that introduced it.
    pub const fn since(self) -> u32 {
        if self.position() < 4 { 1 } else { 2 }
    }
}

/// The methods of a package. All take and give raw bytes: the wire types of [`crate::wire`].
///
/// The order of these methods is the order of [`Method`].
#[fidius::plugin_interface(version = 2, buffer = PluginAllocated, crate = "fidius")]
pub trait LongshorePackage: Send + Sync {
    /// See [`Method::GetTaskMetadata`].
    #[wire(raw)]
    fn get_task_metadata(&self, request: Vec<u8>) -> Vec<u8>;
    /// See [`Method::ExecuteTask`].
    #[wire(raw)]
    fn execute_task(&self, request: Vec<u8>) -> Vec<u8>;
    /// See [`Method::GetGraphMetadata`].
    #[wire(raw)]
    fn get_graph_metadata(&self, request: Vec<u8>) -> Vec<u8>;
    /// See [`Method::ExecuteGraph`].
    #[wire(raw)]
    fn execute_graph(&self, request: Vec<u8>) -> Vec<u8>;
    /// See [`Method::GetReactorMetadata`].
    #[optional(since = 2)]
    #[wire(raw)]
    fn get_reactor_metadata(&self, request: Vec<u8>) -> Vec<u8>;
    /// See [`Method::GetTriggerMetadata`].
    #[optional(since = 2)]
    #[wire(raw)]
    fn get_trigger_metadata(&self, request: Vec<u8>) -> Vec<u8>;
    /// See [`Method::InvokeTriggerPoll`].
    #[optional(since = 2)]
    #[wire(raw)]
    fn invoke_trigger_poll(&self, request: Vec<u8>) -> Vec<u8>;
    /// See [`Method::GetTriggerlessGraphMetadata`].
    #[optional(since = 2)]
    #[wire(raw)]
    fn get_triggerless_graph_metadata(&self, request: Vec<u8>) -> Vec<u8>;
    /// See [`Method::InvokeTriggerlessGraph`].
    #[optional(since = 2)]
    #[wire(raw)]
    fn invoke_triggerless_graph(&self, request: Vec<u8>) -> Vec<u8>;
}

/// The methods of a host. Calls arrive on threads of the package, at any time between binding and unload.
#[fidius::host_interface(version = 1, crate = "fidius")]
pub trait LongshoreHost: Send + Sync {
    /// An attempt ended: a [`crate::wire::TaskReply`], and after it the patch.
    fn finished(&self, lease: u64, reply: ByteBuf);
    /// A log line: a [`crate::wire::LogRecord`].
    fn log(&self, record: ByteBuf);
    /// An attempt gives its concurrency slot back.
    fn release_slot(&self, lease: u64) -> Result<(), PluginError>;
    /// An attempt wants a slot again: true when it has one, false when a `Resume` will follow.
    fn reclaim_slot(&self, lease: u64) -> Result<bool, PluginError>;
    /// The bytes of a file of the package's assets, as they were packed.
    fn asset(&self, name: String) -> Result<ByteBuf, PluginError>;
}

/// The hash fidius computes over the required methods: what a package and a host must agree on.
pub const INTERFACE_HASH: u64 = __fidius_LongshorePackage::LongshorePackage_INTERFACE_HASH;

/// The text of [`INTERFACE_HASH`].
pub const INTERFACE_HASH_TEXT: &str = match std::str::from_utf8(&HASH_HEX) {
    Ok(text) => text,
    Err(_) => panic!("hex digits are UTF-8"),
};

/// The methods of [`LongshoreHost`] in the form of a schema: the hash that fidius computes over them.
pub const HOST_SCHEMA: &str = match std::str::from_utf8(&HOST_SCHEMA_BYTES) {
    Ok(text) => text,
    Err(_) => panic!("hex digits are UTF-8"),
};

const HOST_SCHEMA_BYTES: [u8; 40] = {
    let mut out = *b"LongshoreHost{methods:0000000000000000,}";
    let hash = hex(__fidius_host_LongshoreHost::LongshoreHost_HOST_INTERFACE_HASH);
    let mut i = 0;
    while i < hash.len() {
        out[22 + i] = hash[i];
        i += 1;
    }
    out
};

const HASH_HEX: [u8; 16] = hex(INTERFACE_HASH);

const fn hex(value: u64) -> [u8; 16] {
    let digits = b"0123456789abcdef";
    let mut out = [0; 16];
    let mut i = 0;
    while i < 16 {
        out[i] = digits[((value >> (60 - 4 * i)) & 15) as usize];
        i += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trait_has_the_methods_at_their_positions() {
        let in_trait = [
            __fidius_LongshorePackage::METHOD_GET_TASK_METADATA,
            __fidius_LongshorePackage::METHOD_EXECUTE_TASK,
            __fidius_LongshorePackage::METHOD_GET_GRAPH_METADATA,
            __fidius_LongshorePackage::METHOD_EXECUTE_GRAPH,
            __fidius_LongshorePackage::METHOD_GET_REACTOR_METADATA,
            __fidius_LongshorePackage::METHOD_GET_TRIGGER_METADATA,
            __fidius_LongshorePackage::METHOD_INVOKE_TRIGGER_POLL,
            __fidius_LongshorePackage::METHOD_GET_TRIGGERLESS_GRAPH_METADATA,
            __fidius_LongshorePackage::METHOD_INVOKE_TRIGGERLESS_GRAPH,
        ];
        assert_eq!(Method::ALL.map(Method::position), in_trait);
        assert_eq!(Method::ALL.map(|m| m.since()), [1, 1, 1, 1, 2, 2, 2, 2, 2]);
    }
}
