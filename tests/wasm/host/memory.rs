//! The guest's memory, from inside a host call.

use wasmtime::{AsContext, AsContextMut, Caller, Memory, Result, bail, format_err};

use super::state::State;

/// What a host call works with: the guest that called, and the host's state.
pub struct Guest<'a>(pub Caller<'a, State>);

impl Guest<'_> {
    pub fn state(&mut self) -> &mut State {
        self.0.data_mut()
    }

    fn memory(&mut self) -> Result<Memory> {
        let memory = self
            .0
            .get_export("memory")
            .and_then(|export| export.into_memory());
        memory.ok_or_else(|| format_err!("the module exports no memory"))
    }

    /// Envoy answers InvalidMemoryAccess to a pointer outside of the memory;
    /// a filter that passes one is broken, so here it is an error.
    pub fn read(&mut self, at: u32, size: u32) -> Result<Vec<u8>> {
        let memory = self.memory()?;
        let (start, end) = (at as usize, at as usize + size as usize);
        match memory.data(self.0.as_context()).get(start..end) {
            Some(bytes) => Ok(bytes.to_vec()),
            None => bail!("the filter passed a buffer outside of its memory: {start}..{end}"),
        }
    }

    pub fn write(&mut self, at: u32, bytes: &[u8]) -> Result<()> {
        let memory = self.memory()?;
        memory.write(self.0.as_context_mut(), at as usize, bytes)?;
        Ok(())
    }

    /// Hands bytes over as Envoy does: allocated by the guest, null when empty.
    pub fn give(&mut self, bytes: &[u8], return_data: u32, return_size: u32) -> Result<()> {
        let at = if bytes.is_empty() {
            0
        } else {
            self.allocate(bytes.len() as u32)?
        };
        if at != 0 {
            self.write(at, bytes)?;
        }
        self.write(return_data, &at.to_le_bytes())?;
        self.write(return_size, &(bytes.len() as u32).to_le_bytes())
    }

    fn allocate(&mut self, size: u32) -> Result<u32> {
        // The SDK names it `malloc` on wasm32-unknown-unknown.
        for name in ["proxy_on_memory_allocate", "malloc"] {
            if let Some(allocate) = self
                .0
                .get_export(name)
                .and_then(|export| export.into_func())
            {
                let at = allocate
                    .typed::<u32, u32>(&self.0)?
                    .call(&mut self.0, size)?;
                if at == 0 {
                    bail!("{name}({size}) returned null");
                }
                return Ok(at);
            }
        }
        bail!("the module exports neither proxy_on_memory_allocate nor malloc")
    }
}
