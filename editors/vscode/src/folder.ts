/** Which workspace folder a command is about. */
import * as vscode from 'vscode';

/** The only folder, or the one that the user picks; undefined where there is none, which the user is told. */
export async function projectFolder(): Promise<vscode.Uri | undefined> {
  const folders = vscode.workspace.workspaceFolders ?? [];
  if (folders.length === 0) {
    void vscode.window.showErrorMessage('Open the folder of your project first.');
    return undefined;
  }
  if (folders.length === 1) return folders[0]?.uri;
  return (await vscode.window.showWorkspaceFolderPick({ placeHolder: 'Which project?' }))?.uri;
}

/** The folder of a look that must not ask: the first one. */
export function firstFolder(): vscode.Uri | undefined {
  return vscode.workspace.workspaceFolders?.[0]?.uri;
}
