import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { Chat, useChat } from '@ai-sdk/react';
import { DefaultChatTransport } from 'ai';
import { Composer } from './composer.jsx';
import { keepFiles } from './files.js';
import { Icon } from './icons.jsx';
import { Turn } from './turn.jsx';
import { loadMessages, saveConversation, tabs } from './store.js';

const SAVE_EVERY = 1000; // milliseconds, while an answer is written
const isLost = (error) => error instanceof TypeError; // as browsers say that nothing answers

const isRunning = (chat) => chat.status === 'submitted' || chat.status === 'streaming';

const isWhole = ({ role, metadata }) => role === 'assistant' && Boolean(metadata?.outcome || metadata?.error);

/** What the model needs of the messages: neither pictures that it made nor facts about answers. */
const lean = (messages) =>
  messages.map(({ id, role, parts }) => ({
    id,
    role,
    parts: role === 'user' ? parts : parts.filter((part) => !/^(file|data-.*|source-.*)$/.test(part.type)),
  }));

const transport = new DefaultChatTransport({
  api: 'api/chat',
  prepareSendMessagesRequest: ({ id, messages, trigger, messageId, body }) => ({
    body: { id, trigger, messageId, ...body, messages: lean(body.mode === 'chat' ? messages : messages.slice(-1)) },
  }),
});

const hasPictures = (messages) =>
  messages.some((message) => message.role === 'user' && message.parts.some((part) => part.type === 'file'));

export function Conversation({ id, initial, models, onSaved }) {
  const [status, setWaiting] = useState(null); // what the answer waits for
  const [isLostNow, setLost] = useState(false);
  const [settings, setSettings] = useState(readSettings);
  const isMine = useRef(false); // whether this tab saves what arrives
  const saved = useRef(0);
  const retry = useRef(0);

  // Its own messages are those of this moment; what useChat returns is what is on the screen.
  const [chat] = useState(() => new Chat({
    id,
    messages: initial,
    transport,
    onData: (part) => part.type === 'data-status' && setWaiting(part.data),
    onError: (error) => isLost(error) && setLost(true),
  }));
  const { messages, status: state, error } = useChat({ chat, experimental_throttle: 50 });
  const isBusy = state === 'submitted' || state === 'streaming';

  const save = useCallback(async () => {
    saved.current = Date.now();
    await saveConversation(id, chat.messages);
    // Others take the conversation over when it rests; before that they read the answer themselves.
    tabs.postMessage({ id, what: isRunning(chat) ? 'kept' : 'saved' });
    onSaved();
  }, [chat]);

  useEffect(() => {
    // After a reload in the middle of an answer it is read again from its beginning.
    if (initial.length && !isWhole(initial.at(-1))) {
      isMine.current = true;
      chat.resumeStream();
    }
    const told = async ({ data }) => {
      if (data.id !== id || !['started', 'saved'].includes(data.what) || isRunning(chat)) return;
      const now = await loadMessages(id);
      if (isRunning(chat)) return;
      isMine.current = false; // the other tab keeps it
      chat.messages = now;
      if (data.what === 'started') await chat.resumeStream();
    };
    tabs.addEventListener('message', told);
    return () => tabs.removeEventListener('message', told);
  }, []);

  // Nothing answers: ask again and again whether there is an answer to be read.
  useEffect(() => {
    if (!isLostNow || isBusy) return;
    let timer;
    const again = async () => {
      clearTimeout(timer);
      const failed = await fetch('api/models', { method: 'HEAD' }).then(() => false, () => true);
      if (failed) {
        retry.current = Math.min(retry.current + 1, 4);
        timer = setTimeout(again, 500 * 2 ** retry.current);
        return;
      }
      retry.current = 0;
      setLost(false);
      await chat.resumeStream();
    };
    timer = setTimeout(again, 500);
    addEventListener('online', again);
    return () => {
      clearTimeout(timer);
      removeEventListener('online', again);
    };
  }, [isLostNow, isBusy]);

  // Keep what there is: now and then while it is written, and whole at its end.
  const was = useRef(state);
  useEffect(() => {
    const before = was.current;
    was.current = state;
    if (!isMine.current) return;
    if (state === 'streaming') {
      if (before !== state) tabs.postMessage({ id, what: 'started' });
      if (Date.now() - saved.current > SAVE_EVERY) save();
    } else if (before !== state && !isBusy && chat.messages.length) {
      keepFiles(chat.messages).then((kept) => {
        if (isRunning(chat)) return undefined;
        if (kept.some((message, index) => message !== chat.messages[index])) chat.messages = kept;
        return save();
      });
    }
  }, [messages, state]);

  const body = useCallback((now, mode = settings.mode) => {
    const model = settings.model || models.model;
    const sees = models.models.find((each) => each.id === model)?.sees;
    const chosen = hasPictures(now) && !sees ? models.visionModel : model;
    return { ...settings, mode, model: mode === 'chat' ? chosen : '' };
  }, [settings, models]);

  const started = useCallback(async (work) => {
    isMine.current = true;
    setWaiting(null);
    setLost(false);
    const running = work();
    // The question is kept before its answer begins.
    await save();
    await running;
  }, [save]);

  const send = useCallback((text, files) => {
    const parts = [...files, ...(text ? [{ type: 'text', text }] : [])];
    const added = { role: 'user', parts, metadata: { mode: settings.mode } };
    return started(() => chat.sendMessage(added, { body: body([...messages, added]) }));
  }, [messages, body, settings, started]);

  const edit = useCallback((message, text) => {
    const parts = [...message.parts.filter((part) => part.type !== 'text'), { type: 'text', text }];
    const mode = message.metadata?.mode ?? 'chat';
    const changed = { role: 'user', parts, metadata: { mode }, messageId: message.id };
    const before = messages.slice(0, messages.findIndex((each) => each.id === message.id));
    return started(() => chat.sendMessage(changed, { body: body([...before, changed], mode) }));
  }, [messages, body, started]);

  const again = useCallback((message) => {
    const place = messages.findIndex((each) => each.id === message.id);
    const before = messages.slice(0, message.role === 'user' ? place + 1 : place);
    const mode = before.findLast((each) => each.role === 'user')?.metadata?.mode ?? 'chat';
    return started(() => chat.regenerate({ messageId: message.id, body: body(before, mode) }));
  }, [messages, body, started]);

  const stop = useCallback(async () => {
    // The server ends the answer, and the end comes by the stream that is read here.
    const response = await fetch(`api/chat/${id}/stop`, { method: 'POST' }).catch(() => null);
    if (!response?.ok) await chat.stop();
  }, [id]);

  const change = useCallback((news) => setSettings((old) => {
    const now = { ...old, ...news };
    localStorage.setItem('settings', JSON.stringify(now));
    return now;
  }), []);

  useEffect(() => {
    const pressed = (event) => event.key === 'Escape' && isBusy && stop();
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, [isBusy, stop]);

  const handlers = useMemo(() => ({ edit, again }), [edit, again]);
  const last = messages.at(-1);
  return (
    <>
      <Log count={messages.length} isBusy={isBusy}>
        {messages.length === 0 && <Welcome models={models} />}
        {messages.map((message) => (
          <Turn key={message.id} message={message} handlers={handlers} isBusy={isBusy}
            isStreaming={isBusy && message === last && message.role === 'assistant'} waiting={message === last ? status : null} />
        ))}
        {isBusy && last?.role === 'user' && <p className="waiting" role="status">Waiting for the answer…</p>}
        {isLostNow && <p className="trouble" role="alert">The connection is lost; trying again…</p>}
        {!isBusy && !isLostNow && last?.role === 'user' && (
          <p className="trouble" role="alert">
            {error && !isLost(error) ? error.message : 'There is no answer.'}{' '}
            <button type="button" onClick={() => again(last)}>Try again</button>
          </p>
        )}
      </Log>
      <p className="hidden" role="status" aria-live="polite">
        {isBusy ? 'The answer is being written.' : last?.role === 'assistant' ? 'The answer is complete.' : ''}
      </p>
      <Composer settings={settings} change={change} models={models} isBusy={isBusy} onSend={send} onStop={stop}
        onEditLast={() => [...document.querySelectorAll('.turn.user .edit')].at(-1)?.click()} />
    </>
  );
}

function readSettings() {
  const plain = { model: '', mode: 'chat', thinking: true, web: false };
  try {
    return { ...plain, ...JSON.parse(localStorage.getItem('settings') ?? '{}') };
  } catch {
    return plain;
  }
}

function Welcome({ models }) {
  return (
    <div className="welcome">
      <h1>What can I do for you?</h1>
      <p>Ask, paste or drop a picture, speak, or have an image or a video made.</p>
      {models.error && <p className="trouble" role="alert">{models.error}</p>}
    </div>
  );
}

/** The messages. The log is upside down for the browser, so its end stays in view by itself. */
function Log({ count, isBusy, children }) {
  const log = useRef(null);
  const [isAway, setAway] = useState(false);
  const toEnd = () => { log.current.scrollTop = 0; };
  useEffect(toEnd, [count]);
  return (
    <div className="log" ref={log} onScroll={() => setAway(log.current.scrollTop < -80)} role="log" aria-live="off"
      aria-busy={isBusy} aria-label="Messages" tabIndex={0}>
      {isAway && <button type="button" className="end" aria-label="To the end" onClick={toEnd}><Icon name="down" /></button>}
      <div className="inner">{children}</div>
    </div>
  );
}
