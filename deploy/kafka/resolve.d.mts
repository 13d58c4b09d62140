/** What is missing, in words for whoever has to install it. */
export declare class KafkaJarsError extends Error {}
export declare const kafkaVersion: string
/** The directory whose jars make the class path of a broker and of MirrorMaker. */
export declare function resolveKafkaJars(options: {
  root: string
  log?: (line: string) => void
  env?: NodeJS.ProcessEnv
}): Promise<{ classpathDirectory: string }>
/** Where Maven's copy goes; under node_modules so that no run directory or commit ever holds it. */
export declare function kafkaJarsDirectory(root: string): string
/** True when the jars are there and belong to this pom. */
export declare function isResolved(directory: string): boolean
