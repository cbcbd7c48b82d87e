/**
 * Chat with the inference endpoint: a page in an editor tab, over a conversation with `remora chat`.
 * The page gets texts only; URL and key stay with the command line.
 */
import * as vscode from 'vscode';
import { nameOf, read, type Json } from './contract';
import type { Running } from './process';
import type { Remora } from './remora';

const TITLE = 'Chat with the inference endpoint';

/** What the page says: a conversation to be answered, or a wish to stop. */
type FromPage = { readonly ask: { readonly model: string; readonly messages: readonly Json[] } } | { readonly stop: true } | { readonly ready: true };

export class Chat implements vscode.Disposable {
  private panel: vscode.WebviewPanel | undefined;

  constructor(private readonly remora: Remora, private readonly extension: vscode.Uri) {}

  show(folder: vscode.Uri): void {
    this.panel?.dispose();
    const media = vscode.Uri.joinPath(this.extension, 'media');
    const panel = vscode.window.createWebviewPanel('remora.chat', 'Inference chat', vscode.ViewColumn.Active, {
      enableScripts: true, retainContextWhenHidden: true, localResourceRoots: [media],
    });
    const session = new Session(this.remora, folder, panel.webview);
    panel.onDidDispose(() => { session.end(); });
    panel.webview.onDidReceiveMessage((message: FromPage) => { session.take(message); });
    panel.webview.html = page(panel.webview, media);
    this.panel = panel;
  }

  dispose(): void {
    this.panel?.dispose();
  }
}

/** One `remora chat` as long as the page is open; begun again when it has ended. */
class Session {
  private running: Promise<Running> | undefined;
  private over = false;

  constructor(private readonly remora: Remora, private readonly folder: vscode.Uri, private readonly webview: vscode.Webview) {}

  take(message: FromPage): void {
    if ('ready' in message) void this.start();
    if ('ask' in message) void this.start().then((running) => { running?.send(message.ask); });
    if ('stop' in message) void this.running?.then((running) => { running.interrupt(); });
  }

  end(): void {
    this.over = true;
    void this.running?.then((running) => { running.interrupt(); running.close(); });
  }

  private async start(): Promise<Running | undefined> {
    if (this.running) return this.running;
    try {
      this.running = this.remora.follow(['chat'], this.folder, (document) => { this.pass(document); });
      const running = await this.running;
      void running.ended.then(() => { this.ended(); }, (error: unknown) => { this.remora.explain(error, TITLE, this.folder); });
      return running;
    } catch (error) {
      this.running = undefined;
      this.remora.explain(error, TITLE, this.folder);
      return undefined;
    }
  }

  private ended(): void {
    this.running = undefined;
    if (!this.over) void this.webview.postMessage({ name: 'ended' });
  }

  private pass(document: Json): void {
    const name = nameOf(document);
    if (name !== 'chat' && name !== 'chat.piece' && name !== 'chat.models' && name !== 'error') return;
    if (!this.over) void this.webview.postMessage({ name, document: read(name, document) });
  }
}

function page(webview: vscode.Webview, media: vscode.Uri): string {
  const [script, style] = ['chat.js', 'chat.css'].map((name) => String(webview.asWebviewUri(vscode.Uri.joinPath(media, name))));
  const policy = `default-src 'none'; script-src ${webview.cspSource}; style-src ${webview.cspSource}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<link rel="stylesheet" href="${style ?? ''}">
<title>Inference chat</title>
</head>
<body>
<header><label>Model <select id="model" aria-label="Model"></select></label><button id="clear" type="button">New conversation</button></header>
<main id="turns" aria-live="polite"></main>
<form id="form">
<textarea id="text" rows="3" aria-label="Message" placeholder="Ask something…  (Enter sends, Shift+Enter starts a line)"></textarea>
<button id="send" type="submit">Send</button><button id="stop" type="button" hidden>Stop</button>
</form>
<script src="${script ?? ''}"></script>
</body>
</html>`;
}
