/** Compare adapters: base and adapters are asked the golden prompts, and the report opens in an editor tab. */
import * as vscode from 'vscode';
import type { Remora } from './remora';

const TITLE = 'Compare adapters';

/** `storage` is a folder of the extension's own; the report stays there until the next one. */
export async function compare(remora: Remora, folder: vscode.Uri, storage: vscode.Uri): Promise<void> {
  const report = vscode.Uri.joinPath(storage, 'comparison.html');
  remora.channel.show();
  const done = await remora.show('compare', TITLE, ['compare', '--out', report.fsPath], folder);
  if (!done) return;
  const panel = vscode.window.createWebviewPanel('remora.comparison', 'Comparison of adapters', vscode.ViewColumn.Active, {});
  panel.webview.html = new TextDecoder().decode(await vscode.workspace.fs.readFile(report));
}
