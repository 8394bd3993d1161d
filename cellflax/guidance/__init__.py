"""What a person should know after a training: doubtful annotations, odd images, the score's uncertainty, remedies."""
