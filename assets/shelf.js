// Runs kept in this browser: a list in IndexedDB, one record per run with the text of its run file. No DOM.

const BASE_NAME = "unmask", STORE = "runs";

export class StorageRefused extends Error {}

function opened() {
  return new Promise((resolve, reject) => {
    let asked;
    try { asked = indexedDB.open(BASE_NAME, 1); } catch { reject(forbidden()); return; }
    asked.onupgradeneeded = () => asked.result.createObjectStore(STORE, { keyPath: "key" });
    asked.onsuccess = () => { asked.result.onversionchange = () => asked.result.close(); resolve(asked.result); };
    asked.onerror = () => reject(forbidden());
    asked.onblocked = () => reject(forbidden());
  });
}

function forbidden() {
  return new StorageRefused("This browser does not let the page store anything (a private window, or storage is switched off). Export the run as a file instead.");
}

/** Do `work(store)` in one transaction: all of it is stored, or nothing. */
async function within(mode, work) {
  const base = await opened();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = base.transaction(STORE, mode);
      const asked = work(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(asked.result);
      transaction.onabort = transaction.onerror = () => reject(refused(transaction.error ?? asked.error));
    });
  } catch (error) {
    throw error instanceof StorageRefused ? error : refused(error);
  } finally {
    base.close();
  }
}

function refused(error) {
  if (error?.name === "QuotaExceededError") return new StorageRefused("The browser's storage for this page is full. Delete a kept run, or export this one as a file.");
  return new StorageRefused(`The browser could not store this (${error?.name ?? "unknown reason"}). Export the run as a file instead.`);
}

/** The kept runs, newest first, without their texts. */
export async function listed() {
  const records = await within("readonly", (store) => store.getAll());
  return records.map(({ text, ...facts }) => ({ ...facts, size: text.length })).sort((a, b) => b.at - a.at);
}

export function put(record) { return within("readwrite", (store) => store.put(record)); }
export function get(key) { return within("readonly", (store) => store.get(key)); }
export function remove(key) { return within("readwrite", (store) => store.delete(key)); }

/** Give a kept run another name; one that another tab has deleted stays deleted: it is read and written in one transaction. */
export function rename(key, name) {
  return within("readwrite", (store) => {
    const asked = store.get(key);
    asked.onsuccess = () => { if (asked.result) store.put({ ...asked.result, name }); };
    return asked;
  });
}
