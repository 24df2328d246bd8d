//! Keeping what actions made, by the action's key.

use crate::action::MAX_RESULT_BYTES;
use crate::error::Result;
use crate::fs::Linked;
use crate::object::sharded;
use crate::{ActionKey, ActionResult, Store, StoreError};

/// Path of a result below the store's folder.
pub(crate) fn result_rel(key: &ActionKey) -> String {
    sharded("results", &key.0)
}

impl Store {
    /// What an action made earlier; `None` where it has not run, its outputs have been collected,
    /// or its record is damaged. The outputs stay for the life of this `Store`.
    ///
    /// # Errors
    /// Where the file system fails.
    pub fn result(&self, key: &ActionKey) -> Result<Option<ActionResult>> {
        if !self.is_writable() {
            return self.peek_result(key);
        }
        let hold = self.hold()?;
        let found = self.peek_result(key)?;
        if let Some(result) = &found {
            hold.record(result.outputs.values().copied())?;
        }
        Ok(found)
    }

    /// [`Store::result`] without holding on to the outputs.
    pub(crate) fn peek_result(&self, key: &ActionKey) -> Result<Option<ActionResult>> {
        let bytes = match self.fs().read_bounded(&result_rel(key), MAX_RESULT_BYTES) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(None),
            Err(StoreError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::InvalidData =>
            {
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        let Ok(result) = ActionResult::decode(&bytes, key) else {
            // Running the action again is always right; `verify` names the damage.
            return Ok(None);
        };
        for output in result.outputs.values() {
            if !self.exists(&output.digest())? {
                return Ok(None);
            }
        }
        Ok(Some(result))
    }

    /// Records what an action made, in place of an earlier record.
    ///
    /// Everything stored before the call is made durable before the record becomes visible.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where an output is not stored; else where the file system fails.
    pub fn put_result(&self, key: &ActionKey, result: &ActionResult) -> Result<()> {
        self.put_results(&[(*key, result.clone())])
    }

    /// [`Store::put_result`] for many at the cost of one.
    ///
    /// # Errors
    /// As [`Store::put_result`]; records before the one that failed may be visible.
    pub fn put_results(&self, results: &[(ActionKey, ActionResult)]) -> Result<()> {
        let hold = self.hold()?;
        let outputs = results
            .iter()
            .flat_map(|(_, r)| r.outputs.values().copied());
        hold.record(outputs.clone())?;
        for output in outputs {
            let digest = output.digest();
            if !self.exists(&digest)? {
                return Err(StoreError::Missing { digest });
            }
        }
        let mut made = Vec::new();
        let done = self.write_results(results, &mut made);
        for (_, temp) in made {
            temp.discard(self.fs());
        }
        done
    }

    fn write_results(
        &self,
        results: &[(ActionKey, ActionResult)],
        made: &mut Vec<(ActionKey, crate::fs::Temp)>,
    ) -> Result<()> {
        for (key, result) in results {
            let bytes = result.encode(key)?;
            // A record that says the same and was visible is durable already, with its outputs.
            if self.peek_result(key)?.as_ref() == Some(result) {
                continue;
            }
            let mut temp = self.fs().temp("results")?;
            let filled = self.fs().fill(&mut temp, &bytes);
            made.push((*key, temp));
            filled?;
        }
        if made.is_empty() {
            return Ok(());
        }
        if self.durable() {
            self.fs().sync_all()?;
        }
        for (key, temp) in made.iter() {
            let rel = result_rel(key);
            if self.fs().link(temp, &rel)? == Linked::Existed {
                self.fs().replace(temp, &rel)?;
            }
        }
        Ok(())
    }
}
