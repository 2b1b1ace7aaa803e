// The wire to the server, as API.md has it: who we are, the stream of views and patches, and commands.

const SILENT_MS = 2500; // two and a half heartbeats
const EVENTS_LIMIT = 200;

export class Wire extends EventTarget {
  constructor() {
    super();
    this.view = null;
    this.me = null;
    this.live = false;
    this.skew = 0; // server clock minus ours, seconds
    this.heard = 0;
    this.source = null;
    this.loading = false;
    window.setInterval(() => this.#watch(), 250);
  }

  now() {
    return Date.now() / 1000 + this.skew;
  }

  async start() {
    await this.identify();
    this.#open();
  }

  /** Who we are; goes to the login page where the server wants one. */
  async identify() {
    try {
      const answer = await fetch("/api/me", { cache: "no-store" });
      if (answer.status === 401) {
        window.location.assign("/login");
        return;
      }
      if (answer.ok) {
        this.me = await answer.json();
        this.dispatchEvent(new Event("me"));
      }
    } catch {
      // the stream says that the link is lost
    }
  }

  #open() {
    this.source?.close();
    const source = new EventSource("/api/stream");
    this.source = source;
    source.addEventListener("view", (event) => this.#take(JSON.parse(event.data)));
    source.addEventListener("patch", (event) => this.#patch(JSON.parse(event.data)));
    source.addEventListener("beat", (event) => {
      const beat = JSON.parse(event.data);
      this.#heard(beat.at);
      if (this.view && beat.seq > this.view.seq) void this.#reload();
    });
    source.addEventListener("bye", () => {
      this.#lost();
      void this.identify();
    });
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) {
        this.#lost();
        window.setTimeout(() => void this.identify().then(() => this.#open()), 1500);
      }
    });
  }

  #heard(at) {
    this.heard = performance.now();
    this.skew = at - Date.now() / 1000;
    if (!this.live) {
      this.live = true;
      this.dispatchEvent(new Event("link"));
    }
  }

  #lost() {
    if (this.live) {
      this.live = false;
      this.dispatchEvent(new Event("link"));
    }
  }

  #watch() {
    if (this.live && performance.now() - this.heard > SILENT_MS) this.#lost();
  }

  #take(view) {
    this.view = view;
    this.#heard(view.at);
    this.#changed(null);
  }

  #patch(patch) {
    this.#heard(patch.at);
    if (!this.view || patch.seq <= this.view.seq) return;
    if (patch.seq !== this.view.seq + 1) {
      void this.#reload();
      return;
    }
    const sections = new Set(Object.keys(patch.set ?? {}));
    Object.assign(this.view, patch.set ?? {}, { seq: patch.seq, at: patch.at });
    for (const [name, more] of Object.entries(patch.append ?? {})) {
      this.view[name] = [...this.view[name], ...more];
      sections.add(name);
    }
    if (this.view.events.length > EVENTS_LIMIT) this.view.events = this.view.events.slice(-EVENTS_LIMIT);
    this.#changed(sections);
  }

  async #reload() {
    if (this.loading) return;
    this.loading = true;
    try {
      const answer = await fetch("/api/view", { cache: "no-store" });
      if (answer.ok) this.#take(await answer.json());
    } catch {
      this.#lost();
    } finally {
      this.loading = false;
    }
  }

  #changed(sections) {
    this.dispatchEvent(new CustomEvent("change", { detail: sections }));
  }

  /** Sends a command; always answers `{status, reason}`. */
  async post(path, body = {}, again = true) {
    try {
      const answer = await fetch(path, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Edgechess-Csrf": this.me?.csrf ?? "" },
        body: JSON.stringify(body),
        cache: "no-store",
      });
      const told = await answer.json().catch(() => ({ status: answer.status, reason: null }));
      if (again && (answer.status === 401 || (answer.status === 403 && this.me?.role === "operator"))) {
        await this.identify(); // the server was started anew
        return this.post(path, body, false);
      }
      return told;
    } catch {
      return { status: 0, reason: "the console cannot be reached" };
    }
  }

  async get(path) {
    const answer = await fetch(path, { cache: "no-store" });
    if (answer.status === 401) window.location.assign("/login");
    if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).reason ?? `answer ${answer.status}`);
    return answer.json();
  }
}
