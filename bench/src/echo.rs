//! The floor of a call: fidius's own raw echo.

#[fidius::plugin_interface(version = 1, buffer = PluginAllocated)]
pub trait Echo: Send + Sync {
    #[wire(raw)]
    fn echo(&self, bytes: Vec<u8>) -> Vec<u8>;
}

pub struct EchoPlugin;

#[fidius::plugin_impl(Echo)]
impl Echo for EchoPlugin {
    #[wire(raw)]
    fn echo(&self, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }
}
