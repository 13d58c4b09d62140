import { codeOf } from '@blockferry/runtime'
import { catalogue, fault } from './error-catalogue.ts'

type ExplainedCode = 'EACCES' | 'EPERM' | 'EROFS' | 'ENOSPC' | 'EDQUOT'
const explained: readonly string[] = [
  'EACCES',
  'EPERM',
  'EROFS',
  'ENOSPC',
  'EDQUOT',
] satisfies ExplainedCode[]

/** An error of the kernel about `path` with what to do next; any other error as it is. */
export function explainError(error: unknown, path: string): unknown {
  const code = codeOf(error)
  if (!isExplained(code) || !(error instanceof Error)) return error
  const ids = `${process.getuid?.() ?? 'UID'}:${process.getgid?.() ?? 'GID'}`
  const nextCommand = catalogue[code].nextCommand.replaceAll('PATH', path).replaceAll('UID:GID', ids)
  return fault(code, `${path} cannot be used: ${error.message}`, {
    cause: error,
    nextCommand,
    details: { path },
  })
}

function isExplained(code: string): code is ExplainedCode {
  return explained.includes(code)
}
