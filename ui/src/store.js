// Conversations in the browser: heads for the list, and bodies that are read one at a time.

const opened = new Promise((resolve, reject) => {
  const request = indexedDB.open('zai-ui', 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore('heads', { keyPath: 'id' });
    request.result.createObjectStore('bodies', { keyPath: 'id' });
  };
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

// Tabs tell each other what has changed: { id, what: 'started' | 'kept' | 'saved' | 'removed' }.
export const tabs = new BroadcastChannel('zai-ui');

async function within(mode, work) {
  const transaction = (await opened).transaction(['heads', 'bodies'], mode);
  const request = work(transaction.objectStore('heads'), transaction.objectStore('bodies'));
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(request?.result);
    transaction.onabort = transaction.onerror = () => reject(transaction.error);
  });
}

export async function listHeads() {
  const heads = await within('readonly', (heads) => heads.getAll());
  return heads.sort((one, other) => other.updated - one.updated);
}

export const loadMessages = async (id) =>
  (await within('readonly', (_, bodies) => bodies.get(id)))?.messages ?? [];

export async function saveConversation(id, messages, { updated = Date.now(), title } = {}) {
  const head = { id, title: title ?? titleOf(messages), updated };
  await within('readwrite', (heads, bodies) => {
    heads.put(head);
    bodies.put({ id, messages });
  });
  return head;
}

export const removeConversation = (id) =>
  within('readwrite', (heads, bodies) => {
    heads.delete(id);
    bodies.delete(id);
  });

export const textOf = (message) =>
  message.parts.filter((part) => part.type === 'text').map((part) => part.text).join('\n\n');

function titleOf(messages) {
  const first = messages.find((message) => message.role === 'user');
  const words = first ? textOf(first).trim().replace(/\s+/g, ' ') : '';
  return words.length > 60 ? `${words.slice(0, 59)}…` : words || 'Pictures';
}

// Export and import.

export async function exported() {
  const conversations = [];
  for (const head of await listHeads()) {
    conversations.push({ ...head, messages: await loadMessages(head.id) });
  }
  return JSON.stringify({ format: 'zai-ui', version: 1, conversations });
}

const isMessage = (message) =>
  typeof message?.id === 'string' &&
  ['user', 'assistant'].includes(message.role) &&
  Array.isArray(message.parts) &&
  message.parts.every((part) => typeof part?.type === 'string' && (part.type !== 'text' || typeof part.text === 'string'));

/** Take the conversations of a file in; what is here already under its id is kept beside it. */
export async function imported(json) {
  const file = JSON.parse(json);
  if (file?.format !== 'zai-ui' || file.version !== 1 || !Array.isArray(file.conversations)) {
    throw new Error('This is no file of conversations.');
  }
  const good = file.conversations.every((each) => Array.isArray(each?.messages) && each.messages.every(isMessage));
  if (!good) throw new Error('The file is damaged: a message in it has no parts.');
  const known = new Set((await listHeads()).map((head) => head.id));
  for (const each of file.conversations) {
    const id = typeof each.id === 'string' && !known.has(each.id) ? each.id : crypto.randomUUID();
    const updated = Number.isFinite(each.updated) ? each.updated : Date.now();
    await saveConversation(id, each.messages, { updated, title: typeof each.title === 'string' ? each.title : undefined });
  }
  return file.conversations.length;
}
