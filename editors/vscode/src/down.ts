/** Tear down inference resources: the command line asks for the yes. */
import * as vscode from 'vscode';
import type { Remora } from './remora';

export async function down(remora: Remora, folder: vscode.Uri): Promise<void> {
  const done = await remora.show('down', 'Tear down inference resources', ['down'], folder);
  if (done) void vscode.window.showInformationMessage(`Deleted ${done.app} in ${done.resource_group}.`);
}
