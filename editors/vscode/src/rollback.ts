/** Roll back inference: the release that served before serves again. */
import * as vscode from 'vscode';
import type { Remora } from './remora';

const TITLE = 'Roll back inference';

export async function rollBack(remora: Remora, folder: vscode.Uri): Promise<void> {
  const detail = 'The release that served before gets the traffic. The adapters stay; they are rolled back one by one in the tree.';
  const chosen = await vscode.window.showWarningMessage('Roll back to the former release?', { modal: true, detail }, 'Roll back');
  if (chosen === undefined) return;
  remora.channel.show();
  const done = await remora.show('rollback', TITLE, ['rollback'], folder);
  if (done) void vscode.window.showInformationMessage(`Release ${done.release} serves again, by ${done.revision}.`);
}
