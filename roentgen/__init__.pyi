from roentgen.comparison import compare_images as compare_images
from roentgen.dataset.dataset import DatasetWriter as DatasetWriter
from roentgen.dataset.dataset import open_dataset as open_dataset
from roentgen.diffusion.sampling.settings import SamplerSettings as SamplerSettings
from roentgen.errors import InputError as InputError
from roentgen.generation.generator import Generator as Generator
from roentgen.labelers.rules.rule_labeler import label_report as label_report
from roentgen.labelers.rules.rule_labeler import statements_of as statements_of
from roentgen.prompts.grammar import PromptStyle as PromptStyle
from roentgen.prompts.grammar import prompt_of as prompt_of
from roentgen.prompts.parser import parse_prompt as parse_prompt
from roentgen.record.finding import Finding as Finding
from roentgen.record.radiograph import Radiograph as Radiograph
from roentgen.record.radiograph import Report as Report
from roentgen.record.statement import Statement as Statement
from roentgen.reports.sections import parse_report as parse_report
from roentgen.vision.features.extractor import load_extractor as load_extractor
from roentgen.vision.radiograph_tensors import RadiographTensors as RadiographTensors

__all__: list[str]
__version__: str
