import './checks.js';
import { useCallback, useEffect, useRef, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { Conversation } from './conversation.jsx';
import { download } from './files.js';
import { Icon } from './icons.jsx';
import { exported, imported, listHeads, loadMessages, removeConversation, tabs } from './store.js';

const idInAddress = () => /^#\/c\/([\w-]{1,100})$/.exec(location.hash)?.[1];
const THEMES = ['system', 'light', 'dark'];

function App() {
  const [id, setId] = useState(() => idInAddress() ?? crypto.randomUUID());
  const [loaded, setLoaded] = useState(null); // { id, messages }
  const [heads, setHeads] = useState([]);
  const [models, setModels] = useState({ models: [], model: '', visionModel: '', error: '' });
  const [isOpen, setOpen] = useState(false);
  const [theme, setTheme] = useState(() => localStorage.getItem('theme') ?? 'system');
  const [notice, setNotice] = useState('');
  const picker = useRef(null);

  const refresh = useCallback(async () => setHeads(await listHeads()), []);
  const go = useCallback((next) => {
    location.hash = `#/c/${next}`;
    setOpen(false);
  }, []);
  const begin = useCallback(() => go(crypto.randomUUID()), [go]);

  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem('theme', theme);
  }, [theme]);
  useEffect(() => {
    if (!idInAddress()) history.replaceState(null, '', `#/c/${id}`);
    const moved = () => setId(idInAddress() ?? crypto.randomUUID());
    const pressed = (event) => {
      if ((event.ctrlKey || event.metaKey) && event.shiftKey && event.key.toLowerCase() === 'o') {
        event.preventDefault();
        begin();
      }
    };
    addEventListener('hashchange', moved);
    addEventListener('keydown', pressed);
    tabs.addEventListener('message', refresh);
    refresh();
    fetch('api/models').then((response) => response.json()).then(setModels, () => {});
    return () => {
      removeEventListener('hashchange', moved);
      removeEventListener('keydown', pressed);
      tabs.removeEventListener('message', refresh);
    };
  }, []);
  useEffect(() => {
    let isWanted = true;
    loadMessages(id).then((messages) => isWanted && setLoaded({ id, messages }));
    return () => { isWanted = false; };
  }, [id]);

  async function remove(head) {
    if (!confirm(`Delete “${head.title}”?`)) return;
    await removeConversation(head.id);
    tabs.postMessage({ id: head.id, what: 'removed' });
    await refresh();
    if (head.id === id) begin();
  }

  async function take(event) {
    const [file] = event.target.files;
    event.target.value = '';
    try {
      const count = await imported(await file.text());
      setNotice(`${count} conversation${count === 1 ? '' : 's'} imported.`);
      await refresh();
    } catch (error) {
      setNotice(error instanceof SyntaxError ? 'The file is no JSON.' : error.message);
    }
  }

  return (
    <>
      <a className="skip" href="#prompt" onClick={(event) => { event.preventDefault(); document.getElementById('prompt')?.focus(); }}>
        Skip to the question
      </a>
      <nav id="conversations" className={isOpen ? 'open' : ''} aria-label="Conversations">
        <button type="button" className="new" onClick={begin} aria-keyshortcuts="Control+Shift+O"><Icon name="plus" /> New chat</button>
        <ul>
          {heads.map((head) => (
            <li key={head.id}>
              <a href={`#/c/${head.id}`} aria-current={head.id === id ? 'page' : undefined} onClick={() => setOpen(false)}>{head.title}</a>
              <button type="button" className="quiet" aria-label={`Delete “${head.title}”`} onClick={() => remove(head)}><Icon name="close" /></button>
            </li>
          ))}
        </ul>
        {notice && <p className="notice" role="status">{notice}</p>}
        <footer>
          <button type="button" className="quiet" onClick={async () => download('conversations.json', await exported(), 'application/json')}>Export</button>
          <button type="button" className="quiet" onClick={() => picker.current.click()}>Import</button>
          <input ref={picker} type="file" accept="application/json,.json" hidden aria-label="Conversations to import" onChange={take} />
          <button type="button" className="quiet" aria-label={`Colours: ${theme}`} title="Colours"
            onClick={() => setTheme(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length])}>
            <Icon name={theme} />
          </button>
        </footer>
      </nav>
      {isOpen && <div className="veil" onClick={() => setOpen(false)} />}
      <main>
        <header>
          <button type="button" className="quiet" aria-label="Conversations" aria-expanded={isOpen} aria-controls="conversations"
            onClick={() => setOpen(!isOpen)}><Icon name="menu" /></button>
          <button type="button" className="quiet" aria-label="New chat" onClick={begin}><Icon name="plus" /></button>
        </header>
        {loaded?.id === id && <Conversation key={id} id={id} initial={loaded.messages} models={models} onSaved={refresh} />}
      </main>
    </>
  );
}

createRoot(document.getElementById('app')).render(<App />);
