import { Loading } from "@/components/page";
import { Bar } from "@/components/ui/bar";
import { Card } from "@/components/ui/card";
import { State } from "@/components/ui/state";
import {
  type FileInMaking,
  progressInWords,
  shareOf,
  stateInWords,
} from "@/features/files/file-progress";

/** The state of a file in a few words, with how far it is while it is made or checked. */
export const FileState = ({ file }: { file: FileInMaking }) => <State value={stateInWords(file)} />;

/** How far a file is that is being made or checked. */
export function FileProgress({ file }: { file: FileInMaking }) {
  const share = shareOf(file);
  if (share === null) return <Loading what={progressInWords(file)} />;
  return (
    <Card>
      <Bar label="Progress of the file" share={share} />
      <p className="mt-1 text-muted">{progressInWords(file)}</p>
    </Card>
  );
}
